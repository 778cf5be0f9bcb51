"""Where points lie between those of a grid, and between times."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from tf4dvar.data.grid import KILOMETRES, Grid
from tf4dvar.data.units import unit_name
from tf4dvar.errors import InputError

NAMES = {"y": ("lat", "latitude", "y"), "x": ("lon", "longitude", "x")}
"""Of the coordinates of points."""
CIRCLE = 360.0
# Of a step: a larger gap between the last and the first point of a circle is none of the grid.
LARGEST_GAP = 1.5


class Place(NamedTuple):
    """Where points lie along an axis, [point].

    Attributes:
        lower, upper: indices of the neighbours.
        weight: of the upper one, as linear interpolation has it, 0 to 1.
        beyond: how far outside the outermost ones, in steps.
    """

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray
    beyond: np.ndarray

    @property
    def nearest(self) -> np.ndarray:
        """The index of the nearer neighbour."""
        return np.where(self.weight < 0.5, self.lower, self.upper)


def places_of(points: xr.Dataset, grid: Grid, times: np.ndarray) -> tuple[Place, Place, Place]:
    """Where points lie along time, y and x.

    Args:
        points: a table, see `tf4dvar.data.points`.
        grid: where maps have their points.
        times: [time], of the maps, ascending.

    Raises:
        InputError: coordinates are not finite, their units are missing or wrong, or there is
            nothing to lie between.
    """
    dims = list(points.dims) if isinstance(points, xr.Dataset) else None
    if dims is None or len(dims) != 1 or not points.sizes[dims[0]]:
        raise InputError(
            f"Received points as {type(points).__name__} of the dimensions {dims}; expected a "
            "Dataset of one dimension, one point or more."
        )
    if min(len(times), *grid.shape) < 2:
        raise InputError(
            f"Received {len(times)} times and a grid of {grid.shape[0]} x {grid.shape[1]} points; "
            "expected two of each at least."
        )
    y, x = (_coordinate(points, axis, grid.spherical) for axis in "yx")
    of_points, of_maps = _days(points, times)
    columns = {"time": np.broadcast_to(of_points, y.shape), "y": y, "x": x}
    wrong = {name: int((~np.isfinite(each)).sum()) for name, each in columns.items()}
    if grid.spherical:
        wrong["y"] += int((np.abs(y) > 90).sum())
        wrong["x"] += int((np.abs(x) > CIRCLE).sum())
    if any(wrong.values()):
        told = ", ".join(f"{number} of {name}" for name, number in wrong.items() if number)
        raise InputError(
            f"Received coordinates of {len(y)} points that are not finite or out of bounds, "
            f"{told}; expected all of every point: leave out points without."
        )
    periods = (None, CIRCLE) if grid.spherical else grid.periods
    return (
        place_along(of_maps, columns["time"], None),
        place_along(grid.y, y, periods[0]),
        place_along(grid.x, x, periods[1]),
    )


def place_along(nodes: np.ndarray, positions: np.ndarray, period: float | None) -> Place:
    """Where positions lie along an axis.

    Args:
        nodes: of the axis, in any order, each once.
        positions: of points.
        period: after which the axis repeats; where the nodes are only a part of it, they do not.
    """
    order = np.argsort(nodes)
    nodes = np.asarray(nodes, "float64")[order]
    if period is not None:
        first, last = nodes[0], nodes[-1]
        positions = first + np.mod(positions - first, period)
        # A remainder is rounded up to the period itself.
        positions = np.where(positions >= first + period, first, positions)
        gap, step = first + period - last, (last - first) / (len(nodes) - 1)
        if gap < LARGEST_GAP * step:
            nodes = np.append(nodes, first + period)
        else:
            positions = np.where(positions > last + gap / 2, positions - period, positions)
    index = np.searchsorted(nodes, positions, side="right") - 1
    index = np.clip(index, 0, len(nodes) - 2)
    weight = (positions - nodes[index]) / np.diff(nodes)[index]
    beyond = np.maximum(np.maximum(-weight, weight - 1), 0.0)
    return Place(order[index], np.roll(order, -1)[index], np.clip(weight, 0, 1), beyond)


def corners(places: Sequence[Place]) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
    """The neighbours of points, one after the other: weights, and indices along each axis.

    Args:
        places: along each axis.
    """
    for corner in np.ndindex((2,) * len(places)):
        weight = np.ones(len(places[0].weight))
        for each, upper in zip(places, corner, strict=True):
            weight = weight * (each.weight if upper else 1 - each.weight)
        pairs = zip(places, corner, strict=True)
        yield weight, tuple(each.upper if upper else each.lower for each, upper in pairs)


def numbers_in(points: xr.Dataset, name: str) -> np.ndarray:
    """A variable of points, [point].

    Args:
        points: a table.
        name: of the variable.

    Raises:
        InputError: there is none, or it has no numbers.
    """
    if name not in points.variables or points[name].dtype.kind not in "fiu":
        kind = f" of type {points[name].dtype}" if name in points.variables else ""
        raise InputError(
            f"Received points with the variables {sorted(map(str, points.variables))}; expected "
            f"numbers {name!r} among them{kind and f', it is{kind}'}."
        )
    return np.broadcast_to(points[name].values.astype("float64"), tuple(points.sizes.values()))


def _coordinate(points, axis, spherical):
    """y or x in the grid's units."""
    found = [name for name in NAMES[axis] if name in points.variables]
    if len(found) != 1:
        raise InputError(
            f"Received points with the variables {sorted(map(str, points.variables))}; expected "
            f"one of {', '.join(NAMES[axis])}."
        )
    units = str(points[found[0]].attrs.get("units", ""))
    degrees = units.lower().startswith("degree") or (not units and found[0] != axis)
    if degrees != spherical or not (degrees or unit_name(units) in KILOMETRES):
        raise InputError(
            f"Received {found[0]} of points in the units {units!r}; expected "
            f"{'degrees, as the grid is on the sphere' if spherical else 'm or km, as the grid'}."
        )
    return numbers_in(points, found[0]) * (1.0 if degrees else KILOMETRES[unit_name(units)])


def _days(points, times):
    """Times of points and of maps, days since the first map."""
    times = np.asarray(times)
    kinds = {"M": "dates", "f": "numbers", "i": "numbers", "u": "numbers"}
    of_points = points["time"].values if "time" in points.variables else np.array(None)
    told = [kinds.get(each.dtype.kind, str(each.dtype)) for each in (of_points, times)]
    units = unit_name(str(points["time"].attrs.get("units", "d"))) if told[0] == "numbers" else "d"
    if told[0] != told[1] or told[0] not in kinds.values() or units != "d":
        raise InputError(
            f"Received `time` of points as {told[0]} in {units!r} and times of maps as {told[1]}; "
            "expected dates of both, or days of both."
        )
    step = np.timedelta64(1, "D") if told[0] == "dates" else 1.0
    since = [(each - times[0]) / step for each in (of_points, times)]
    if not np.isfinite(since[1]).all() or not (np.diff(since[1]) > 0).all():
        raise InputError("Received times of maps that do not ascend; expected each once.")
    return since
