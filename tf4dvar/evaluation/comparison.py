"""Classical methods and trained models compared on the same windows."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import xarray as xr

from tf4dvar.classical import METHODS, Analysis, Problem, Progress, stationary
from tf4dvar.data import (
    check_observations,
    covariates_of,
    noise_variance_of,
    number_of,
    time_step_of,
)
from tf4dvar.errors import InputError
from tf4dvar.evaluation.calibration import full_calibration
from tf4dvar.evaluation.metrics import mean_of_known, r_score
from tf4dvar.evaluation.plots import plot_calibration, plot_error_by_time, plot_reconstructions
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.evaluation.scores import (
    in_order,
    prior_ode_score,
    score,
    system_of,
    truth_of,
    warn_of_training_windows,
)
from tf4dvar.experiments import true_flow
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.models.labelled import arranged_truth
from tf4dvar.storage.published import published_names
from tf4dvar.storage.records import json_text
from tf4dvar.systems import SYSTEMS, System

logger = logging.getLogger(__name__)

# First and last tenth of a window: fewer observations help there.
EDGE = 0.1


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


def problem_of(
    dataset: xr.Dataset,
    first_guess: np.ndarray | None = None,
    system: System | None = None,
    noise_variance: float | None = None,
    needs_dynamics: bool = True,
) -> Problem:
    """The problem of reconstructing a data set's windows with the true dynamics of its system.

    The flow has the data set's time step. The components are in the system's order, see `in_order`.

    Args:
        dataset: `observations`, whose attributes `system` and `noise_variance` say the rest; a
            variable `noise_variance` beside them, of every observation, comes before the attribute.
        first_guess: states to begin with, [window, time, component] in the system's order, for
            the methods that take some.
        system: in place of the attribute.
        noise_variance: in place of the attribute.
        needs_dynamics: whether data of no known system are refused; else they have no flow.

    Raises:
        InputError: the system is not known, or the noise is not, or is no number.
    """
    system = system_of(dataset) if system is None else system
    if system is None and needs_dynamics:
        raise InputError(
            f"The data are of the system {dataset.attrs.get('system')!r}, whose equations are not "
            f"known here; known systems: {', '.join(SYSTEMS)}. Give one as system=MODULE:NAME; the "
            "methods oi and enks need none."
        )
    if system is None:
        logger.info("The data are of no known system: only the observations tell of the states.")
        return replace(problem_with(None, dataset, noise_variance), first_guess=first_guess)
    dataset = in_order(dataset, system)
    check_observations(dataset["observations"].values, components=len(system.components))
    system = system.with_time_step(time_step_of(dataset, system))
    flow = true_flow(system, dtype="float64")
    problem = replace(
        problem_with(flow, dataset, noise_variance, system.covariates),
        first_guess=first_guess,
        system=system if system.can_be_simulated else None,
    )
    if system.can_be_simulated:
        return problem
    # Without a climatology.
    return replace(problem, background=stationary(problem).background)


def problem_with(
    prior: keras.layers.Layer | None,
    dataset: xr.Dataset,
    noise_variance: float | None = None,
    covariates: Sequence[str] = (),
) -> Problem:
    """The problem of a data set's windows as they are.

    Args:
        prior: the dynamics, or what a model has in their place; None where there is none.
        dataset, noise_variance: see `problem_of`.
        covariates: names of those that the prior takes.

    Raises:
        InputError: the noise is not known, or is no number.
    """
    return Problem(
        dataset["observations"].values.astype("float64"),
        prior,
        _noise_variance(dataset) if noise_variance is None else noise_variance,
        covariates=covariates_of(dataset, covariates),
    )


def _noise_variance(dataset: xr.Dataset) -> float | np.ndarray:
    """Of every observation, where the data set tells it; the attribute's where it does not."""
    variance = noise_variance_of(dataset)
    if variance is None:
        return number_of(dataset, "noise_variance", "noise_variance=NUMBER")
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
    system: System | None = None,
    noise_variance: float | None = None,
) -> dict[str, Compared]:
    """Reconstruct the windows by every method and model, and score them.

    Args:
        dataset: windows with `truth`.
        methods: names of `METHODS`, with their default settings; with `a+b` the
            states of a, which may be a model, are the first guess of b.
        models: run directories or .keras files.
        progress: gives, for a label, the context of a progress function.
        system, noise_variance: see `problem_of`.

    Raises:
        InputError: an unknown method or model, no truth, or windows of fields. Nothing is run then.
    """
    check_observations(dataset["observations"].values)
    truth = truth_of(dataset)
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
    if methods:
        needing = any(
            METHODS[part].needs_dynamics for chain in parts for part in {*chain} & {*METHODS}
        )
        problem = problem_of(dataset, None, system, noise_variance, needing)
    system = system_of(dataset) if system is None else system
    loaded = {str(path): load_model(path) for path in models}
    for path in (*loaded, *guesses):
        warn_of_training_windows(path, dataset)
    dataset = in_order(dataset, system)
    truth = truth_of(dataset)
    results = {}
    if methods:
        flow, covariates = problem.flow, problem.covariates
        known = None if flow is None else prior_ode_score(flow, truth, covariates)
    for name in methods:
        with progress(name) as report:
            analysis = _chain(name, problem, guesses, dataset, report)
        results[name] = Compared(
            analysis.states,
            analysis.spread,
            {
                **scores_of(analysis.states, analysis.spread, dataset, system),
                "ode_score": known,
                "converged": int(analysis.converged.sum()),
                "seconds_per_window": analysis.seconds_per_window,
            },
        )
    return results | {name: compare_model(model, dataset, system) for name, model in loaded.items()}


def compare_model(
    model: FourDVarNet, dataset: xr.Dataset, system: System | None = None
) -> Compared:
    """A trained model on windows with `truth`.

    Args:
        model: the model.
        dataset: the windows.
        system: see `score`.
    """
    found = reconstruct(model, dataset, timed=True)
    states, std = found.states.astype("float64"), found.std
    return Compared(
        states,
        std,
        {
            **scores_of(states, std, dataset, system),
            "ode_score": prior_ode_score(
                model.prior_prediction, arranged_truth(model, dataset["truth"]).astype("float32")
            ),
            "converged": None,
            "seconds_per_window": found.seconds_per_window,
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
            found = reconstruct(models[part], dataset, timed=True)
            seconds, states = found.seconds_per_window, found.states.astype("float64")
            continue
        analysis = METHODS[part]().analyse(problem.with_first_guess(states), progress)
        seconds, states = seconds + analysis.seconds_per_window, analysis.states
    return analysis._replace(seconds_per_window=seconds)


def scores_of(
    states: np.ndarray,
    spread: np.ndarray | None,
    dataset: xr.Dataset,
    system: System | None = None,
) -> dict[str, Any]:
    """What `evaluation.score` gives, and median, parts of the window, calibration.

    Args:
        states: [window, time, component], physical units.
        spread: standard deviation of their error as estimated, same shape, or None.
        dataset: their windows, with `truth`.
        system: see `score`.
    """
    truth = dataset["truth"].values
    scores = score(states, dataset, system)
    by_time = np.array(scores["r_score_by_time"])
    edge = max(1, round(EDGE * len(by_time)))
    return {
        **scores,
        "r_score_median": float(np.nanmedian(r_score(states, truth))),
        "r_score_by_part": {
            "start": mean_of_known(by_time[:edge]),
            "middle": mean_of_known(by_time[edge:-edge]),
            "end": mean_of_known(by_time[-edge:]),
        },
        "calibration": None if spread is None else full_calibration(states - truth, spread),
    }


def write_report(results: dict[str, Compared], dataset: xr.Dataset, folder: Path) -> None:
    """Write table.md, table.csv, report.json and the figures into a folder.

    Args:
        results: of `compare`.
        dataset: the windows.
        folder: where to; it exists.
    """
    rows = [_row(name, result.scores) for name, result in results.items()]
    write_scores(rows, {name: result.scores for name, result in results.items()}, folder)
    truth = dataset["truth"].values
    states = {name: result.states for name, result in results.items()}
    spreads = {name: r.spread for name, r in results.items() if r.spread is not None}
    figures = {
        "windows.png": plot_reconstructions(dataset, states, spreads),
        "error_by_time.png": plot_error_by_time(
            dataset, {name: r.scores["r_score_by_time"] for name, r in results.items()}
        ),
    }
    if spreads:
        errors = {name: states[name] - truth for name in spreads}
        figures["calibration.png"] = plot_calibration(dataset, errors, spreads)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=150)


def write_scores(rows: list[dict[str, Any]], scores: dict[str, Any], folder: Path) -> None:
    """Write table.md, table.csv and report.json into a folder.

    Args:
        rows: of the table, a dict of cells each.
        scores: all of them, by method.
        folder: where to; it exists.
    """
    # As they are: a whole number stays one where others are missing.
    table = pd.DataFrame(rows, dtype=object)
    table.to_csv(folder / "table.csv", index=False, lineterminator="\r\n")
    table = table.map(_shown)
    (folder / "table.md").write_text(table.to_markdown(index=False, disable_numparse=True) + "\n")
    (folder / "report.json").write_text(json_text(scores, indent=1))


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
    if value is None or value != value:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
