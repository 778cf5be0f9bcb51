"""Classical methods and trained models compared on the same maps."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from tf4dvar.classical import Progress
from tf4dvar.classical.fields import FIELD_METHODS, FieldAnalysis, FieldProblem
from tf4dvar.data import Members, number_of
from tf4dvar.errors import InputError
from tf4dvar.evaluation.calibration import calibration
from tf4dvar.evaluation.field_scores import daily_scores, field_scores
from tf4dvar.evaluation.reconstruction import predicted
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.models.series import members_for, states_of_members
from tf4dvar.storage.published import published_names

# Groups of equally many points, from the nearest to an observation of their day to the farthest.
GROUPS = 5

Bars = Callable[[str], AbstractContextManager[Progress]]
"""Gives, for a label, the context of a progress function."""


class ComparedFields(NamedTuple):
    """One method on the maps.

    Attributes:
        states: [member, time, y, x].
        spread: estimated standard deviation of their error, same shape, or None.
        scores: by name, see `scores_of_fields`.
    """

    states: np.ndarray
    spread: np.ndarray | None
    scores: dict[str, Any]


def field_problem_of(
    members: Members,
    noise_variance: float | None = None,
    component: int = 0,
    states: np.ndarray | None = None,
    first_guess: np.ndarray | None = None,
) -> FieldProblem:
    """The problem of filling the maps of a file.

    Args:
        members: of the file.
        noise_variance: of the observations, in place of what the file says; that is a variable
            beside them, or its attribute `noise_variance`.
        component: which of several variables.
        states, first_guess: see `FieldProblem`.

    Raises:
        InputError: see `FieldProblem`, or nothing says the noise.
    """
    variance: Any = members.noise_variance
    if noise_variance is not None:
        variance = noise_variance
    elif variance is None:
        variance = number_of(members.first.dataset, "noise_variance", "noise_variance=NUMBER")
    else:
        variance = variance[..., component]
    return FieldProblem(
        members.observations[..., component],
        variance,
        members.days,
        members.grid,
        states=states,
        first_guess=first_guess,
    )


def truth_of_fields(members: Members, truth: Members) -> np.ndarray:
    """The true maps, [member, time, y, x], NaN where they are not known.

    Args:
        members: of the observations.
        truth: of the same file's `truth`, or of a file beside it.

    Raises:
        InputError: they are of another number of members, another grid, or nothing is known.
    """
    same_file = truth.first.layout.variables != members.first.layout.variables
    values = truth.observations if same_file else np.stack(truth.at_times_of(members))
    values = values.astype("float64")
    if values.shape != members.observations.shape:
        raise InputError(
            f"Received true maps of shape {values.shape[:-1]}; expected "
            f"{members.observations.shape[:-1]}, as the observations."
        )
    if values.shape[-1] > 1:
        names = ", ".join(members.first.layout.variables)
        raise InputError(f"Received the variables {names}; expected one: variables=NAME.")
    values = np.where(members.grid.sea, values[..., 0], np.nan)
    if np.isnan(values).all():
        raise InputError("The true maps are NaN throughout: there is nothing to score against.")
    return values


def compare_fields(
    problem: FieldProblem,
    members: Members,
    truth: np.ndarray,
    methods: Sequence[str],
    models: Sequence[str | Path],
    progress: Bars,
) -> dict[str, ComparedFields]:
    """Fill the maps by every method and model, and score them.

    Args:
        problem: the maps, see `field_problem_of`; states are for the methods that learn.
        members: where they come from, as models take them.
        truth: of `truth_of_fields`.
        methods: names of `FIELD_METHODS`, with their default settings; with `a+b` the maps of a,
            which may be a model, are the first guess of b.
        models: run directories, .keras files or published models' names.
        progress: see `Bars`.

    Raises:
        InputError: an unknown method or model, or states that no method learns from. Nothing is run
            then.
    """
    if not methods and not models:
        raise InputError("Received no methods and no models; name some to compare.")
    chains = {name: name.split("+") for name in methods}
    named = {part for chain in chains.values() for part in chain} - set(FIELD_METHODS)
    shipped = published_names()
    unknown = sorted(part for part in named if not Path(part).exists() and part not in shipped)
    if unknown:
        raise InputError(
            f"Received the methods {', '.join(unknown)}; known methods of maps: "
            f"{', '.join(FIELD_METHODS)}, and chains such as oi+4dvar-qg or runs/x+4dvar-qg, "
            "which begins with a model."
        )
    used = {part for chain in chains.values() for part in chain} - named
    if problem.states is not None and not any(FIELD_METHODS[part]().learns for part in used):
        learning = [name for name, each in FIELD_METHODS.items() if each().learns]
        raise InputError(
            f"Received states, and the methods {', '.join(methods)}, which learn from none as they "
            f"are by default; those that do: {', '.join(learning)}."
        )
    loaded = {str(name): load_model(name) for name in (*named, *models)}
    results = {}
    for name, chain in (chains | {str(model): [str(model)] for model in models}).items():
        with progress(name) as report:
            analysis = _chain(chain, problem, members, loaded, report)
        results[name] = ComparedFields(
            analysis.states, analysis.spread, scores_of_fields(analysis, problem, truth)
        )
    return results


def _chain(chain, problem, members, models, progress):
    """The last of a chain, in the time of all."""
    seconds, states = 0.0, None
    for part in chain:
        if part in models:
            analysis = filled_by(models[part], members, progress)
        else:
            method = FIELD_METHODS[part]()
            given = problem.with_first_guess(states)
            given = given if method.learns else replace(given, states=None)
            analysis = method.analyse(given, progress)
        seconds, states = seconds + analysis.seconds_per_map, analysis.states
    return analysis._replace(seconds_per_map=seconds)


def maps_by(model: FourDVarNet, members: Members, progress: Progress) -> np.ndarray:
    """The maps that a model makes of those of a file, [member, time, y, x, component].

    Args:
        model: trained on such maps.
        members: of the file.
        progress: see `FieldMethod.analyse`.
    """
    layout, predict = members.first.layout, partial(predicted, model)
    slabs = states_of_members(model, members_for(model, members), predict, progress)
    return Members.of(xr.concat(list(slabs), layout.time), layout.axes).observations


def filled_by(model: FourDVarNet, members: Members, progress: Progress) -> FieldAnalysis:
    """The analysis that a model makes of the maps of one variable.

    Args:
        model, members, progress: see `maps_by`.
    """
    started = time.perf_counter()
    states = maps_by(model, members, progress)[..., 0]
    seconds = (time.perf_counter() - started) / (states.shape[0] * states.shape[1])
    return FieldAnalysis(states, seconds_per_map=seconds)


def scores_of_fields(
    analysis: FieldAnalysis, problem: FieldProblem, truth: np.ndarray
) -> dict[str, Any]:
    """The scores of `field_scores`, and more of the errors where the truth is known.

    Args:
        analysis: the maps.
        problem: whose observations they fill.
        truth: [member, time, y, x], NaN where it is not known.

    Returns:
        `mu`, `sigma`, `lambda_x` (km, on the sphere degrees), `lambda_t` (days), `rmse`, `bias`,
        `rmse_by_day` over all members, `rmse_by_distance` with the mean distance of equally many
        points to the nearest observation of their day in km, `calibration` where the method
        estimates its error, `seconds_per_map`, and `settings` that it chose.
    """
    grid = problem.grid
    spacing = abs(float(np.median(np.diff(grid.x))))
    scores = field_scores(analysis.states, truth, problem.time_step, spacing)._asdict()
    error = analysis.states - truth
    known = np.isfinite(error)
    return {
        **scores,
        "bias": float(error[known].mean()),
        "rmse_by_day": daily_scores(analysis.states, truth).rmse.tolist(),
        "rmse_by_distance": _by_distance(error, known, problem),
        "calibration": None
        if analysis.spread is None
        else calibration(error[known], analysis.spread[known]),
        "seconds_per_map": analysis.seconds_per_map,
        "settings": analysis.settings,
    }


def _by_distance(error, known, problem):
    """RMSE of groups of points, by their distance to an observation of the day."""
    grid, distances, errors = problem.grid, [], []
    for member, day in np.ndindex(*error.shape[:2]):
        observed = problem.observed[member, day]
        if observed.any():
            tree = cKDTree(grid.positions[observed], boxsize=grid.box)
            there = known[member, day]
            distances.append(tree.query(grid.positions[there])[0])
            errors.append(error[member, day][there])
    order = np.argsort(np.concatenate(distances), kind="stable")
    groups = zip(
        np.array_split(np.concatenate(distances)[order], GROUPS),
        np.array_split(np.concatenate(errors)[order], GROUPS),
        strict=True,
    )
    return [
        {"distance": float(distance.mean()), "rmse": float(np.sqrt(np.square(each).mean()))}
        for distance, each in groups
        if each.size
    ]


def row_of_fields(name: str, scores: dict[str, Any]) -> dict[str, Any]:
    """The line of a method in a table.

    Args:
        name: of the method.
        scores: of `scores_of_fields`.
    """
    told = scores["calibration"] or {}
    return {
        "method": name,
        **{key: scores[key] for key in ("mu", "sigma", "lambda_x", "lambda_t", "rmse", "bias")},
        "error/spread": told.get("scaled_error"),
        "within 90 %": told.get("within_90_percent"),
        "CRPS": told.get("crps"),
        "s per map": scores["seconds_per_map"],
    }
