"""The figures and the page of a comparison of maps, or of maps that a model filled."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tf4dvar.data.members import Members
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import Quantity
from tf4dvar.evaluation.field_comparison import ComparedFields, row_of_fields
from tf4dvar.evaluation.field_score_plots import plot_daily_scores, plot_spectral_score
from tf4dvar.evaluation.mapped import Mapped, Maps
from tf4dvar.evaluation.maps import plot_maps
from tf4dvar.evaluation.report import write_html

Results = Mapping[str, ComparedFields]


def maps_of(states: Mapped, members: Members, truth: np.ndarray | None = None) -> Maps:
    """Maps beside the observations of a file, as figures and pages show them.

    Args:
        states: by method, [member, time, y, x].
        members: of the file, with one variable; their times are dates, or days since the first.
        truth: of `truth_of_fields`, if it is known.
    """
    first = members.first
    name, times = first.layout.variables[0], first.observations[first.layout.time].values
    attributes = first.dataset[name].attrs
    of_name, units, standard_name = (
        str(attributes.get(key, "")) for key in ("long_name", "units", "standard_name")
    )
    quantity = Quantity(of_name or name, units or "1", standard_name)
    times = times if times.dtype.kind == "M" else members.days
    return Maps(states, members.observations[..., 0], truth, members.grid, quantity, times)


def write_figures(maps: Maps, folder: Path) -> None:
    """Draw maps.png, daily_scores.png and, where spectra are defined, spectral_score.png.

    Args:
        maps: they, with their truth.
        folder: where to; it exists.
    """
    assert maps.truth is not None
    scored = maps.states, maps.truth
    figures = {
        "maps.png": plot_maps(maps),
        "daily_scores.png": plot_daily_scores(*scored, maps.quantity, maps.times),
    }
    with suppress(InputError):  # as with land, where such scores are not defined either
        figures["spectral_score.png"] = plot_spectral_score(*scored, maps.grid, maps.times)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=150)


def write_comparison(
    path: Path, title: str, results: Results, maps: Maps, settings: Mapping[str, Any]
) -> None:
    """Write a comparison as a page; see `write_html`.

    Args:
        path: the file to be.
        title: of the page.
        results: of `compare_fields`.
        maps: of them.
        settings: by name, to be shown beside what the methods chose.
    """
    chosen = {
        f"{name}: {key}": value
        for name, result in results.items()
        for key, value in (result.scores["settings"] or {}).items()
    }
    rows = {name: row_of_fields(name, result.scores) for name, result in results.items()}
    scores = {name: {k: v for k, v in row.items() if k != "method"} for name, row in rows.items()}
    write_html(path, title, maps, scores, {**settings, **chosen})
