"""Classical methods and trained models compared on the same windows."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from tf4dvar.classical import METHODS, Analysis, Problem, Progress
from tf4dvar.data import check_observations, noise_variance_of, number_of
from tf4dvar.errors import InputError
from tf4dvar.evaluation.metrics import r_score
from tf4dvar.evaluation.plots import plot_calibration, plot_error_by_time, plot_reconstructions
from tf4dvar.evaluation.scores import (
    in_order,
    prior_ode_score,
    reconstruct,
    score,
    warn_of_training_windows,
)
from tf4dvar.experiments import true_flow
from tf4dvar.models import FourDVarNet, load_model, published_names
from tf4dvar.models.labelled import arranged_truth
from tf4dvar.systems import system_by_name

# First and last tenth of a window: fewer observations help there.
EDGE = 0.1
# Of a normal distribution, 90 % lie within so many standard deviations.
NINETY_PERCENT = 1.645


class Compared(NamedTuple):
    """One method on the windows.

    Attributes:
        states: [window, time, component].
        spread: estimated standard deviation, same shape, or None.
        scores: by name, see `scores_of`.
    """

    states: np.ndarray
    spread: np.ndarray | None
    scores: dict[str, Any]


def problem_of(dataset: xr.Dataset, first_guess: np.ndarray | None = None) -> Problem:
    """The problem of reconstructing a data set's windows with the true dynamics of its system.

    The components are in the system's order, see `in_order`.

    Args:
        dataset: `observations` with the attributes `system` and `noise_variance`; a variable
            `noise_variance` beside them, of every observation, comes before the attribute.
        first_guess: states to begin with, [window, time, component] in the system's order, for
            the methods that take some.

    Raises:
        InputError: the system is not known, or the noise is not, or is no number.
    """
    name = str(dataset.attrs.get("system", ""))
    flow, system = true_flow(name, dtype="float64"), system_by_name(name)
    dataset = in_order(dataset)
    observations = dataset["observations"].values.astype("float64")
    noise_variance = _noise_variance(dataset)
    check_observations(observations, components=len(system.components))
    return Problem(observations, flow, noise_variance, first_guess=first_guess, system=system)


def _noise_variance(dataset: xr.Dataset) -> float | np.ndarray:
    """Of every observation, where the data set tells it; the attribute's where it does not."""
    variance = noise_variance_of(dataset)
    if variance is None:
        return number_of(dataset, "noise_variance")
    values = variance.values.astype("float64")
    unknown = np.isnan(values)
    if (unknown & dataset["observations"].notnull().values).any():
        values = np.where(unknown, number_of(dataset, "noise_variance"), values)
    return values


def compare(
    dataset: xr.Dataset,
    methods: Sequence[str],
    models: Sequence[str | Path],
    progress: Callable[[str], AbstractContextManager[Progress]],
) -> dict[str, Compared]:
    """Reconstruct the windows by every method and model, and score them.

    Args:
        dataset: windows with `truth`.
        methods: names of `METHODS`, with their default settings; with `a+b` the
            states of a, which may be a model, are the first guess of b.
        models: run directories or .keras files.
        progress: gives, for a label, the context of a progress function.

    Raises:
        InputError: an unknown method or model, or no truth. Nothing is run then.
    """
    if "truth" not in dataset:
        raise InputError("The data set has no variable `truth`: there is nothing to score against.")
    if not methods and not models:
        raise InputError("Received no methods and no models; name some to compare.")
    parts = [name.split("+") for name in methods]
    first = {chain[0] for chain in parts if len(chain) > 1}
    shipped = published_names()
    guesses = {
        name: load_model(name)
        for name in first - set(METHODS)
        if Path(name).exists() or name in shipped
    }
    unknown = {part for chain in parts for part in chain} - set(METHODS) - set(guesses)
    if unknown:
        raise InputError(
            f"Received the methods {', '.join(sorted(unknown))}; known methods: "
            f"{', '.join(METHODS)}, and chains such as enks+weak-annealed or "
            "runs/x+weak-annealed, which begins with a model."
        )
    loaded = {str(path): load_model(path) for path in models}
    for path in (*loaded, *guesses):
        warn_of_training_windows(path, dataset)
    dataset = in_order(dataset)
    truth = dataset["truth"].values
    results = {}
    if methods:
        problem = problem_of(dataset)
        known = prior_ode_score(problem.flow, truth)
    for name in methods:
        with progress(name) as report:
            analysis = _chain(name, problem, guesses, dataset, report)
        results[name] = Compared(
            analysis.states,
            analysis.spread,
            {
                **scores_of(analysis.states, analysis.spread, dataset),
                "ode_score": known,
                "converged": int(analysis.converged.sum()),
                "seconds_per_window": analysis.seconds_per_window,
            },
        )
    return results | {name: compare_model(model, dataset) for name, model in loaded.items()}


def compare_model(model: FourDVarNet, dataset: xr.Dataset) -> Compared:
    """A trained model on windows with `truth`.

    Args:
        model: the model.
        dataset: the windows.
    """
    states, seconds = reconstruct(model, dataset)
    states = states.astype("float64")
    return Compared(
        states,
        None,
        {
            **scores_of(states, None, dataset),
            "ode_score": prior_ode_score(
                model.prior_prediction, arranged_truth(model, dataset["truth"]).astype("float32")
            ),
            "converged": None,
            "seconds_per_window": seconds,
        },
    )


def _chain(
    name: str,
    problem: Problem,
    models: dict[str, FourDVarNet],
    dataset: xr.Dataset,
    progress: Progress,
) -> Analysis:
    """The last method of a chain, in the time of all."""
    seconds, states = 0.0, None
    for part in name.split("+"):
        if part in models:
            states, seconds = reconstruct(models[part], dataset)
            states = states.astype("float64")
            continue
        analysis = METHODS[part]().analyse(problem.with_first_guess(states), progress)
        seconds, states = seconds + analysis.seconds_per_window, analysis.states
    return analysis._replace(seconds_per_window=seconds)


def scores_of(states: np.ndarray, spread: np.ndarray | None, dataset: xr.Dataset) -> dict[str, Any]:
    """What `evaluation.score` gives, and median, parts of the window, calibration.

    Args:
        states: [window, time, component], physical units.
        spread: standard deviation of their error as estimated, same shape, or None.
        dataset: their windows, with `truth`.
    """
    truth = dataset["truth"].values
    scores = score(states, dataset)
    by_time = np.array(scores["r_score_by_time"])
    edge = max(1, round(EDGE * len(by_time)))
    return {
        **scores,
        "r_score_median": float(np.median(r_score(states, truth))),
        "r_score_by_part": {
            "start": float(by_time[:edge].mean()),
            "middle": float(by_time[edge:-edge].mean()),
            "end": float(by_time[-edge:].mean()),
        },
        "calibration": None if spread is None else _calibration(states - truth, spread),
    }


def _calibration(error: np.ndarray, spread: np.ndarray) -> dict[str, float]:
    """How the spread compares with the error: 1 and 0.9 are right."""
    return {
        "spread_over_error": float(np.sqrt(np.square(spread).mean() / np.nanmean(error**2))),
        "within_90_percent": float((np.abs(error) <= NINETY_PERCENT * spread).mean()),
    }


def write_report(results: dict[str, Compared], dataset: xr.Dataset, folder: Path) -> None:
    """Write table.md, table.csv, report.json and the figures into a folder.

    Args:
        results: of `compare`.
        dataset: the windows.
        folder: where to; it exists.
    """
    rows = [_row(name, result.scores) for name, result in results.items()]
    # As they are: a whole number stays one where others are missing.
    table = pd.DataFrame(rows, dtype=object)
    table.to_csv(folder / "table.csv", index=False, lineterminator="\r\n")
    table = table.map(_shown)
    (folder / "table.md").write_text(table.to_markdown(index=False, disable_numparse=True) + "\n")
    scores = {name: result.scores for name, result in results.items()}
    (folder / "report.json").write_text(json.dumps(scores, indent=1))
    truth = dataset["truth"].values
    states = {name: result.states for name, result in results.items()}
    spreads = {name: r.spread for name, r in results.items() if r.spread is not None}
    figures = {
        "windows.png": plot_reconstructions(dataset, states),
        "error_by_time.png": plot_error_by_time(
            dataset, {name: r.scores["r_score_by_time"] for name, r in results.items()}
        ),
    }
    if spreads:
        errors = {name: states[name] - truth for name in spreads}
        figures["calibration.png"] = plot_calibration(dataset, errors, spreads)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=150)


def _row(name: str, scores: dict[str, Any]) -> dict[str, Any]:
    """A line of the table; components are listed while they fit into it."""
    calibration = scores["calibration"] or {}
    components = scores["r_score_by_component"]
    return {
        "method": name,
        "R-score": scores["r_score"],
        "SE": scores["r_score_se"],
        "median": scores["r_score_median"],
        **(components if len(components) <= 3 else {}),
        **scores["r_score_by_part"],
        "4DVar-score": scores["fourdvar_score"],
        "ODE-score": scores["ode_score"],
        "spread/error": calibration.get("spread_over_error"),
        "within 90 %": calibration.get("within_90_percent"),
        "converged": scores["converged"],
        "ms per window": 1e3 * scores["seconds_per_window"],
    }


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
