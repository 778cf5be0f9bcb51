"""Figures of maps: truth, observations, methods and errors; what filling makes of clouds."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import LAND, UNKNOWN, Quantity, Scale, error_scale, state_scale
from tf4dvar.evaluation.mapped import Maps, plain, time_labels, wrapped
from tf4dvar.evaluation.raster import Raster

# Inches: of a map, and what else its row needs.
WIDTH, LOWEST, HIGHEST = 2.8, 1.2, 4.5
AROUND = 0.6


def plot_maps(maps: Maps, day: int | None = None) -> Figure:
    """One day: truth, observations and every method side by side, and below the methods' errors.

    States have one scale of colours, and errors have one; both are of all days, for figures of
    different days to be compared.

    Args:
        maps: they; land is dark grey.
        day: the index of the time that is shown; that in the middle by default.

    Usage:

        from tf4dvar.data.grid import Grid
        from tf4dvar.evaluation.colours import Quantity
        from tf4dvar.evaluation.mapped import Maps
        from tf4dvar.evaluation.maps import plot_maps

        rng = np.random.default_rng(0)
        truth = rng.normal(size=(1, 5, 8, 12))
        observations = np.where(rng.random(truth.shape) < 0.3, truth, np.nan)
        grid = Grid(np.arange(8.0), np.arange(12.0))
        height = Quantity("height", "m", "sea_surface_height_above_geoid")
        states = {"half": truth / 2}
        figure = plot_maps(Maps(states, observations, truth, grid, height, np.arange(5.0)))
    """
    at = maps.member, len(maps.times) // 2 if day is None else day
    shown, errors, scale = maps.shown, maps.errors, maps.scale
    figure, axes = _panels(2 if errors else 1, len(shown), maps.grid)
    figure.suptitle(time_labels(maps.times)[at[1]])
    for panel, (label, values) in zip(axes[0], shown.items(), strict=True):
        image = draw_map(panel, values[at], maps.grid, scale)
        panel.set_title(plain(wrapped(label)), fontsize="medium")
    _bar(image, axes[0], maps.quantity.label)
    if errors:
        scale = error_scale(errors.values(), scale)
        before = len(shown) - len(errors)
        for above, panel in axes[:, :before].T:
            panel.remove()
            above.tick_params(labelbottom=True)
        for panel, (label, values) in zip(axes[1, before:], errors.items(), strict=True):
            image = draw_map(panel, values[at], maps.grid, scale)
            panel.set_title(plain(wrapped(f"error of {label}")), fontsize="medium")
        _bar(image, axes[1, before:], maps.quantity.error_label)
    return figure


def plot_filled(
    original: np.ndarray,
    clouded: np.ndarray,
    filled: np.ndarray,
    grid: Grid,
    quantity: Quantity,
) -> Figure:
    """Four panels: a map as it was, with added clouds, filled, and the error where it was known.

    Args:
        original: [y, x], NaN under its own clouds.
        clouded: the same with more of them, as the method was given it.
        filled: what the method made of it.
        grid: of the maps; its land is dark grey.
        quantity: that they are of.

    Raises:
        InputError: shapes differ.

    Usage:

        from tf4dvar.data.grid import Grid
        from tf4dvar.evaluation.colours import Quantity
        from tf4dvar.evaluation.maps import plot_filled

        original = np.arange(96.0).reshape(8, 12)
        clouded = np.where(original % 5 == 0, np.nan, original)
        filled = np.where(original % 5 == 0, original.mean(), original)
        grid = Grid(np.arange(36.0, 44.0), np.arange(12.0), spherical=True)
        figure = plot_filled(original, clouded, filled, grid, Quantity("temperature", "degC"))
    """
    maps = {"original": original, "with added clouds": clouded, "filled": filled}
    for label, values in maps.items():
        if values.shape != grid.shape:
            raise InputError(
                f"Received a map {label!r} of shape {values.shape}; expected {grid.shape}."
            )
    scale = state_scale(quantity, original)
    figure, axes = _panels(2, 2, grid)
    for panel, (label, values) in zip(axes.flat, maps.items(), strict=False):
        image = draw_map(panel, values, grid, scale)
        panel.set_title(plain(wrapped(label)), fontsize="medium")
    _bar(image, axes[0], quantity.label)
    error = filled - original
    image = draw_map(axes[1, 1], error, grid, error_scale([error], scale))
    axes[1, 1].set_title("error", fontsize="medium")
    _bar(image, axes[1], quantity.error_label)
    return figure


def draw_map(axes: Axes, values: np.ndarray, grid: Grid, scale: Scale) -> AxesImage:
    """One map: land dark grey, what is unknown light grey.

    Args:
        axes: where to draw.
        values: [y, x], NaN where unknown; on land they are not shown.
        grid: of the map.
        scale: its colours.

    Returns:
        The picture of the map, for the bar of its colours.
    """
    axes.set_facecolor(UNKNOWN)
    raster = Raster.of(grid)
    placed: dict[str, Any] = {"origin": "lower", "extent": raster.extent, "aspect": raster.aspect}
    land = raster.cut(~grid.sea)
    if land.any():
        axes.imshow(np.ma.masked_where(~land, land), cmap=ListedColormap([LAND]), **placed)
    image = axes.imshow(
        np.ma.masked_where(land | ~np.isfinite(raster.cut(values)), raster.cut(values)),
        cmap=scale.colours,
        vmin=scale.low,
        vmax=scale.high,
        interpolation="nearest",
        **placed,
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    return image


def _panels(rows, columns, grid):
    """A figure with panels for maps of one grid."""
    raster = Raster.of(grid)
    height = np.clip(WIDTH * raster.height, LOWEST, HIGHEST) + AROUND
    figure = Figure(figsize=(WIDTH * columns + 1.4, height * rows), layout="compressed")
    figure.supxlabel(raster.labels[0], fontsize="medium")
    figure.supylabel(raster.labels[1], fontsize="medium")
    return figure, figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)


def _bar(image, axes, label):
    """The bar of a row's colours, as wide beside many panels as beside few."""
    shares = {"fraction": 0.15 / len(axes), "pad": 0.06 / len(axes)}
    axes[0].figure.colorbar(
        image, ax=list(axes), label=plain(wrapped(label)), extend="both", **shares
    )
