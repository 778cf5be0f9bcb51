"""A page of maps, with a slider over time, of their scores and settings: one file for a browser."""

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from tf4dvar.errors import InputError
from tf4dvar.evaluation.field_score_plots import plot_daily_scores, plot_spectral_score
from tf4dvar.evaluation.mapped import Maps
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
    maps: Maps,
    scores: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> None:
    """Write a page; it is one file that needs nothing else, and asks for nothing on the network.

    Args:
        path: the file to be; one that exists is replaced.
        title: of the page.
        maps: they; without truth there are no errors and no figures of scores.
        scores: by method and by name, one that is None a dash; none where there is no truth.
        settings: of the comparison or reconstruction, by name.

    Raises:
        InputError: Bokeh, of the extra `maps`, is not installed.

    Usage:

        from tf4dvar.data.grid import Grid
        from tf4dvar.evaluation.colours import Quantity
        from tf4dvar.evaluation.mapped import Maps
        from tf4dvar.evaluation.report import write_html

        truth = np.random.default_rng(0).normal(size=(1, 5, 8, 12))
        grid, height = Grid(np.arange(8.0), np.arange(12.0)), Quantity("height", "m")
        maps = Maps({"half": truth / 2}, truth, truth, grid, height, np.arange(5.0))
        write_html("page.html", "Half of it", maps, scores={"half": {"mu": 0.5}}, settings={})
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
    drawn = slider_maps(maps)
    members, times, *shape = maps.observations.shape
    told = [f"Member {maps.member + 1} of {members}."] if members > 1 else []
    if len(drawn.days) < times:
        told.append(f"{len(drawn.days)} of {times} days.")
    if drawn.points != maps.grid.shape:
        told.append("{} x {} of".format(*drawn.points) + " {} x {} points.".format(*shape))
    figures = {}
    if maps.truth is not None:
        scored = maps.states, maps.truth
        figures = {
            "Scores by day": _picture(plot_daily_scores, *scored, maps.quantity, maps.times),
            "Scores by scale": _picture(plot_spectral_score, *scored, maps.grid, maps.times),
        }
    rows = pd.DataFrame(settings.items(), columns=["setting", "value"], dtype=object)
    shown = {
        "told": " ".join(told),
        "figures": figures,
        "scores": _table(pd.DataFrame.from_dict(scores, orient="index", dtype=object)),
        "settings": _table(rows, index=False),
    }
    page = file_html(
        drawn.layout,
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
