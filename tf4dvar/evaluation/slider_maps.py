"""Maps in a page, with a slider over time; Bokeh, of the extra `maps`, draws them."""

from typing import NamedTuple

import numpy as np
from bokeh.layouts import column, gridplot
from bokeh.models import (
    CategoricalSlider,
    CDSView,
    ColorBar,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    HoverTool,
    Image,
    IndexFilter,
    LayoutDOM,
    LinearColorMapper,
    PlainText,
    Range1d,
    Title,
)
from bokeh.plotting import figure
from matplotlib.colors import to_hex

from tf4dvar.evaluation.colours import LAND, UNKNOWN, error_scale
from tf4dvar.evaluation.mapped import Maps, time_labels, wrapped
from tf4dvar.evaluation.raster import Raster

# Pixels of a map on the screen, and rows or columns that are worth to be kept for them.
WIDTH, HEIGHT, MOST = 240, 420, 256
# Bytes of all maps; a page of them has a third more.
LARGEST = 24_000_000
# A point of a map is a byte: land, unknown, or one of the others, from the lowest value on.
_LAND, _UNKNOWN, _LOWEST, _CODES = 0, 1, 2, 256
_TOOLS = "pan,wheel_zoom,box_zoom,reset,save"


class SliderMaps(NamedTuple):
    """Maps for a page.

    Attributes:
        layout: for Bokeh's `file_html`.
        days: the indices of the times that the slider goes over.
        points: rows and columns of the maps.
    """

    layout: LayoutDOM
    days: np.ndarray
    points: tuple[int, int]


def slider_maps(maps: Maps) -> SliderMaps:
    """Truth, observations and every method side by side, below the methods' errors, day by day.

    The scales are those of `plot_maps`, in 254 steps. Of more and larger maps than a page can hold
    some days are left out, evenly, and rows and columns beyond 256.

    Args:
        maps: they.

    Usage:

        from tf4dvar.data.grid import Grid
        from tf4dvar.evaluation.colours import Quantity
        from tf4dvar.evaluation.mapped import Maps
        from tf4dvar.evaluation.slider_maps import slider_maps

        truth = np.random.default_rng(0).normal(size=(1, 5, 8, 12))
        grid, height = Grid(np.arange(8.0), np.arange(12.0)), Quantity("height", "m")
        maps = Maps({"half": truth / 2}, truth, truth, grid, height, np.arange(5.0))
        assert slider_maps(maps).points == (8, 12)
    """
    shown, errors, scale = maps.shown, maps.errors, maps.scale
    raster = Raster.of(maps.grid, MOST)
    points = len(raster.rows), len(raster.columns)
    most = max(LARGEST // ((len(shown) + len(errors)) * points[0] * points[1]), 1)
    days = np.arange(0, len(maps.times), -(-len(maps.times) // most))
    panels = _Panels(raster, raster.cut(maps.grid.sea), IndexFilter([0]))
    rows = [panels.draw({label: of[maps.member, days] for label, of in shown.items()}, scale)]
    # One label for all: each would take from the width of a column.
    rows[0][0].yaxis.axis_label = raster.labels[1]
    _add_bar(rows[0], scale, maps.quantity.label)
    if errors:
        scale = error_scale(errors.values(), scale)
        wrong = panels.draw(
            {f"error of {label}": of[maps.member, days] for label, of in errors.items()}, scale
        )
        _add_bar(wrong, scale, maps.quantity.error_label)
        rows.append([None] * (len(shown) - len(errors)) + wrong)
    drawn = gridplot(rows, toolbar_options={"logo": None})
    layout = column(panels.slider(time_labels(maps.times[days])), drawn)
    return SliderMaps(layout, days, points)


class _Panels:
    """Maps of one day after the other, all of the same one."""

    def __init__(self, raster: Raster, sea: np.ndarray, chosen: IndexFilter):
        self.raster, self.sea, self.chosen = raster, sea, chosen
        self.source = ColumnDataSource()
        left, right, bottom, top = raster.extent
        self.x_range, self.y_range = Range1d(left, right), Range1d(bottom, top)
        self.width = min(WIDTH, HEIGHT / raster.height)

    def draw(self, maps, scale):
        """A row of panels by label, their titles as high as the highest: Bokeh cuts panels off."""
        titles = [wrapped(label) for label in maps]
        most = max(title.count("\n") for title in titles)
        titles = [" \n" * (most - title.count("\n")) + title for title in titles]
        return [
            self._panel(title, each, scale)
            for title, each in zip(titles, maps.values(), strict=True)
        ]

    def _panel(self, title, maps, scale):
        """A panel, of maps [time, y, x]; all days are in the page, and one is in view."""
        name = f"map{len(self.source.data)}"
        self.source.data[name] = list(_coded(self.raster.cut(maps), self.sea, scale))
        panel = figure(
            frame_width=max(round(self.width), 1),
            frame_height=max(round(self.width * self.raster.height), 1),
            title=Title(text=PlainText(text=title)),
            x_axis_label=self.raster.labels[0],
            tools=_TOOLS,
            x_range=self.x_range,
            y_range=self.y_range,
        )
        left, right, bottom, top = self.raster.extent
        picture = Image(
            image=name,
            x=left,
            y=bottom,
            dw=right - left,
            dh=top - bottom,
            color_mapper=LinearColorMapper(
                palette=[LAND, UNKNOWN, *_palette(scale)], low=0, high=_CODES
            ),
        )
        panel.add_glyph(self.source, picture, view=CDSView(filter=self.chosen))
        panel.add_tools(_value_tool(name, scale))
        return panel

    def slider(self, labels):
        """What chooses the day, by its label."""
        slider = CategoricalSlider(
            categories=labels, value=labels[0], title="time", width=2 * WIDTH
        )
        choose = "chosen.indices = [labels.indexOf(slider.value)]"
        known = {"chosen": self.chosen, "labels": labels, "slider": slider}
        slider.js_on_change("value", CustomJS(args=known, code=choose))
        return slider


def _add_bar(row, scale, label):
    """The scale at the end of a row."""
    mapper = LinearColorMapper(palette=_palette(scale), low=scale.low, high=scale.high)
    row[-1].add_layout(ColorBar(color_mapper=mapper, title=PlainText(text=wrapped(label))), "right")


def _coded(maps, sea, scale):
    """Maps, a byte a point."""
    share = (maps - scale.low) / (scale.high - scale.low)
    highest = _CODES - 1 - _LOWEST
    known = np.isfinite(share)
    codes = _LOWEST + np.rint(highest * np.clip(np.where(known, share, 0), 0, 1))
    return np.where(sea, np.where(known, codes, _UNKNOWN), _LAND).astype("uint8")


def _palette(scale):
    """The colours of all values."""
    return [to_hex(colour) for colour in scale.colours(np.linspace(0, 1, _CODES - _LOWEST))]


def _value_tool(name, scale):
    """Tells the value under the pointer."""
    step = (scale.high - scale.low) / (_CODES - 1 - _LOWEST)
    code = f"return value < {_LOWEST} ? '-' : (low + (value - {_LOWEST}) * step).toPrecision(3)"
    told = CustomJSHover(args={"low": scale.low, "step": step}, code=code)
    return HoverTool(tooltips=[("value", f"@{name}{{custom}}")], formatters={f"@{name}": told})
