"""The figures and the page of a comparison of maps, or of maps that a model filled."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tf4dvar.classical.fields import FieldProblem
from tf4dvar.data.members import Members
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import Quantity
from tf4dvar.evaluation.field_comparison import ComparedFields, row_of_fields
from tf4dvar.evaluation.field_score_plots import plot_daily_scores, plot_spectral_score
from tf4dvar.evaluation.maps import plot_maps
from tf4dvar.evaluation.report import write_html

Results = Mapping[str, ComparedFields]


def quantity_of(members: Members) -> Quantity:
    """What the maps of a file are of.

    Args:
        members: of the file, with one variable.
    """
    attributes = members.first.dataset[members.first.layout.variables[0]].attrs
    texts = [str(attributes.get(key, "")) for key in ("long_name", "units", "standard_name")]
    name, units, standard_name = texts
    return Quantity(name or members.first.layout.variables[0], units or "1", standard_name)


def times_of(members: Members) -> np.ndarray:
    """The times of maps for readers: dates, or days since the first.

    Args:
        members: of the file.
    """
    times = members.first.observations[members.first.layout.time].values
    return times if times.dtype.kind == "M" else members.days


def write_figures(
    results: Results, problem: FieldProblem, members: Members, truth: np.ndarray, folder: Path
) -> None:
    """Draw maps.png, daily_scores.png and, where spectra are defined, spectral_score.png.

    Args:
        results: of `compare_fields`.
        problem, members, truth: as there.
        folder: where to; it exists.
    """
    states = {name: result.states for name, result in results.items()}
    times, quantity = times_of(members), quantity_of(members)
    shown = states, problem.observations, truth, problem.grid, quantity, times
    figures = {
        "maps.png": plot_maps(*shown),
        "daily_scores.png": plot_daily_scores(states, truth, quantity, times),
    }
    with suppress(InputError):  # as with land, where such scores are not defined either
        figures["spectral_score.png"] = plot_spectral_score(states, truth, problem.grid, times)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=150)


def write_comparison(
    path: Path,
    title: str,
    results: Results,
    problem: FieldProblem,
    members: Members,
    truth: np.ndarray,
    settings: Mapping[str, Any],
) -> None:
    """Write a comparison as a page; see `write_html`.

    Args:
        path: the file to be.
        title: of the page.
        results: of `compare_fields`.
        problem, members, truth: as there.
        settings: by name, to be shown beside what the methods chose.
    """
    chosen = {
        f"{name}: {key}": value
        for name, result in results.items()
        for key, value in (result.scores["settings"] or {}).items()
    }
    rows = {name: row_of_fields(name, result.scores) for name, result in results.items()}
    scores = {name: {k: v for k, v in row.items() if k != "method"} for name, row in rows.items()}
    write_html(
        path,
        title,
        {name: result.states for name, result in results.items()},
        problem.observations,
        truth,
        problem.grid,
        quantity_of(members),
        times_of(members),
        scores,
        {**settings, **chosen},
    )


def write_filled(
    path: Path, title: str, states: np.ndarray, members: Members, settings: Mapping[str, Any]
) -> None:
    """Write filled maps as a page, beside their observations; see `write_html`.

    Args:
        path: the file to be.
        title: of the page.
        states: [member, time, y, x].
        members: of the observations, with one variable.
        settings: by name, to be shown.
    """
    maps = members.observations[..., 0], None, members.grid
    told = quantity_of(members), times_of(members)
    write_html(path, title, {"filled": states}, *maps, *told, {}, settings)
