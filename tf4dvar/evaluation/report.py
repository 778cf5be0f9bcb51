"""A page of maps, with a slider over time, of their scores and settings: one file for a browser."""

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import Quantity
from tf4dvar.evaluation.field_score_plots import plot_daily_scores, plot_spectral_score
from tf4dvar.evaluation.mapped import Mapped
from tf4dvar.storage import atomic_path

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body {font-family: sans-serif; margin: 2em; color: #222}
table {border-collapse: collapse}
th, td {padding: 0.2em 0.8em; text-align: left; border-bottom: 1px solid #ddd}
img {max-width: 100%}
</style>
{{ bokeh_css | safe }}
{{ bokeh_js | safe }}
</head>
<body>
<h1>{{ title }}</h1>
<h2>Maps</h2>
<p>{{ told }}</p>
{{ plot_div | safe }}
{% if scores %}<h2>Scores</h2>
{{ scores | safe }}{% endif %}
{% for heading, picture in figures.items() %}
<h2>{{ heading }}</h2>
{% if picture.startswith("data:") %}<img src="{{ picture }}" alt="{{ heading }}">
{% else %}<p>{{ picture }}</p>{% endif %}
{% endfor %}
{% if settings %}<h2>Settings</h2>
{{ settings | safe }}{% endif %}
{{ plot_script | safe }}
</body>
</html>
"""


def write_html(
    path: str | Path,
    title: str,
    states: Mapped,
    observations: np.ndarray,
    truth: np.ndarray | None,
    grid: Grid,
    quantity: Quantity,
    times: np.ndarray,
    scores: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    member: int = 0,
) -> None:
    """Write a page; it is one file that needs nothing else, and asks for nothing on the network.

    Args:
        path: the file to be; one that exists is replaced.
        title: of the page.
        states: maps by method, each [member, time, y, x].
        observations: the same, NaN = not observed.
        truth: the same, NaN where unknown; without it there are no errors and no
            figures of scores.
        grid: of the maps.
        quantity: that they are of.
        times: [time], dates or days.
        scores: by method and by name, one that is None a dash; none where there is no truth.
        settings: of the comparison or reconstruction, by name.
        member: which one the maps show.

    Raises:
        InputError: shapes differ, or Bokeh, of the extra `maps`, is not installed.

    Usage:

        from tf4dvar.data.grid import Grid
        from tf4dvar.evaluation.colours import Quantity
        from tf4dvar.evaluation.report import write_html

        truth = np.random.default_rng(0).normal(size=(1, 5, 8, 12))
        grid, height = Grid(np.arange(8.0), np.arange(12.0)), Quantity("height", "m")
        maps = {"half": truth / 2}, truth, truth, grid, height, np.arange(5.0)
        write_html("page.html", "Half of it", *maps, scores={"half": {"mu": 0.5}}, settings={})
    """
    try:
        from bokeh.embed import file_html
        from bokeh.resources import INLINE
        from jinja2 import Environment

        from tf4dvar.evaluation.slider_maps import slider_maps
    except ModuleNotFoundError as error:
        raise InputError(
            f"A page of maps needs {error.name}, which is not installed: pip install tf4dvar[maps]."
        ) from error
    maps = slider_maps(states, observations, truth, grid, quantity, times, member)
    members = len(observations)
    told = [f"Member {member + 1} of {members}."] if members > 1 else []
    if len(maps.days) < len(times):
        told.append(f"{len(maps.days)} of {len(times)} days.")
    if maps.points != grid.shape:
        told.append("{} x {} of".format(*maps.points) + " {} x {} points.".format(*grid.shape))
    figures = {}
    if truth is not None:
        figures = {
            "Scores by day": _picture(plot_daily_scores, states, truth, quantity, times),
            "Scores by scale": _picture(plot_spectral_score, states, truth, grid, times),
        }
    rows = pd.DataFrame(settings.items(), columns=["setting", "value"], dtype=object)
    shown = {
        "told": " ".join(told),
        "figures": figures,
        "scores": _table(pd.DataFrame.from_dict(scores, orient="index", dtype=object)),
        "settings": _table(rows, index=False),
    }
    page = file_html(
        maps.layout,
        INLINE,
        title,
        template=Environment(autoescape=True).from_string(_PAGE),
        template_variables=shown,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _picture(plot: Callable[..., Figure], *args: Any) -> str:
    """A figure as an address that holds it, or why there is none."""
    try:
        figure = plot(*args)
    except InputError as error:
        return str(error)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _table(frame, **options):
    """A table as HTML, its texts escaped and whole; one without entries is no text."""
    if frame.empty:
        return ""
    with pd.option_context("display.max_colwidth", None):
        frame = frame.where(frame.notna(), "-")
        return frame.to_html(border=0, float_format="{:.3g}".format, escape=True, **options)
