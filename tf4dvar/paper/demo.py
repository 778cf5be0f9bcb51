"""The demonstration: simulate, train, reconstruct, compare, draw."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd

from tf4dvar.classical import FixedStepDescent, first_guess
from tf4dvar.data import protocol_plan, simulate_dataset, states_dataset, write_dataset
from tf4dvar.evaluation.comparison import compare_model, problem_of
from tf4dvar.evaluation.plots import plot_reconstructions
from tf4dvar.evaluation.scores import prior_ode_score, score
from tf4dvar.experiments import experiment_by_name
from tf4dvar.models import load_model
from tf4dvar.systems import TEST_SEED, Lorenz63
from tf4dvar.training import check_minutes, train

logger = logging.getLogger(__name__)

# What trains best in a few minutes; five iterations are the fastest to train.
EXPERIMENT = "l63-sup-genn-lstm"
DESCENT_STEPS = 4000
PUBLISHED = "l63"
COLUMNS = ("r_score", "fourdvar_score", "ode_score", "seconds_per_window")


def run_demo(
    out: Path, windows: int, minutes: float, verbose: str | int = "auto"
) -> dict[str, dict[str, Any]]:
    """Simulate, train, reconstruct, score and draw into a folder.

    Args:
        out: the folder; what an earlier demonstration left there is replaced.
        windows: number of held-out windows.
        minutes: training time.
        verbose: of Keras' `fit`.

    Returns:
        The scores of each method by its name, the learned solver last.
    """
    check_minutes(minutes)
    out.mkdir(parents=True, exist_ok=True)

    logger.info("1. Simulate %d held-out windows of protocol C", windows)
    dataset = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), windows, seed=TEST_SEED)
    write_dataset(dataset, out / "windows.nc", force=True)
    truth = dataset["truth"].values

    logger.info("2. Reconstruct with the published model %s", PUBLISHED)
    published = compare_model(load_model(PUBLISHED), dataset)
    states = {f"published model {PUBLISHED}": published.states}
    table = {f"published model {PUBLISHED}": published.scores}
    logger.info("   R-score %.3g", published.scores["r_score"])

    logger.info("3. Train %s for %g minutes", EXPERIMENT, minutes)
    shutil.rmtree(out / "run", ignore_errors=True)
    model = train(
        experiment_by_name(EXPERIMENT),
        out / "run",
        minutes=minutes,
        iterations=5,
        verbose=verbose,
    )

    logger.info("4. Reconstruct with it, and with two methods that learn nothing")
    # Both of the others take the true dynamics as their prior.
    problem = problem_of(dataset)
    known = prior_ode_score(problem.flow, truth)
    for name, method in (
        ("first guess (interpolation)", first_guess),
        (
            f"fixed-step descent, {DESCENT_STEPS} steps",
            lambda problem: FixedStepDescent(DESCENT_STEPS).analyse(problem).states,
        ),
    ):
        started = time.perf_counter()
        states[name] = method(problem)
        seconds = (time.perf_counter() - started) / len(truth)
        table[name] = {
            **score(states[name], dataset),
            "ode_score": known,
            "seconds_per_window": seconds,
        }
    name = "learned solver (GENN + LSTM)"
    learned = compare_model(model, dataset)
    states[name], table[name] = learned.states, learned.scores
    write_dataset(
        states_dataset(dataset, states[name], method=EXPERIMENT),
        out / "states.nc",
        force=True,
    )

    figure = plot_reconstructions(dataset, states)
    figure.savefig(out / "figure.png", dpi=120)
    scores = pd.DataFrame.from_dict(table, "index", columns=COLUMNS)
    logger.info("\n%s\n", scores.to_string(float_format="{:.4g}".format))
    logger.info("Figure: %s", out / "figure.png")
    return table
