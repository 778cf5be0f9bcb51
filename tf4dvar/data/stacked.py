"""What labels tell of stacked data, [window, time, *space, component]."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from tf4dvar.data.patterns import Observed, chunks
from tf4dvar.data.time_axis import numbers_of, step_of
from tf4dvar.errors import InputError, shown

# Of a step: more is a time that is missing.
MISSING = 1.5
CIRCLE = 360.0
PERIOD = "modulo"
"""The attribute of a coordinate that says after how much the field repeats (as in Ferret)."""


class Dims(NamedTuple):
    """Names of the dimensions."""

    time: str
    space: tuple[str, ...]


class Axis(NamedTuple):
    """A dimension of space.

    Attributes:
        name: of the dimension.
        spacing: mean difference of the coordinates; None where they are only numbered.
        circle: whether it goes all the way round, as longitudes do, or what says so.
        reversed: whether the coordinates are n - 1, ..., 1, 0.
    """

    name: str
    spacing: float | None
    circle: bool
    reversed: bool = False


def dims_of(stacked: xr.DataArray) -> Dims:
    """The dimensions of time and space.

    Args:
        stacked: [time, *space, component], perhaps with `window` before.

    Raises:
        InputError: there are no such.
    """
    names = tuple(map(str, stacked.dims))
    inner = names[1:] if names[:1] == ("window",) else names
    if len(inner) < 2 or inner[-1] != "component":
        raise InputError(
            f"Received data with the dimensions {names}; expected time, space if there is some, "
            "and `component`, with `window` before them if there are several."
        )
    return Dims(inner[0], inner[1:-1])


def numbers(stacked: xr.DataArray, dim: str) -> list[int] | None:
    """The labels along a dimension where they only number it; None where they tell more.

    Args:
        stacked: the data.
        dim: name of the dimension; without labels it is numbered 0, 1, 2, ...
    """
    size = stacked.sizes[dim]
    if dim not in stacked.coords:
        return list(range(size))
    labels = stacked[dim].values
    if labels.dtype.kind not in "iuf" or labels.ndim != 1:
        return None
    if not (np.sort(labels) == np.arange(size)).all():
        return None
    return labels.astype(int).tolist()


def units_of(stacked: xr.DataArray) -> list[str]:
    """The units of every component, "" where unknown.

    Args:
        stacked: `units` is a coordinate along `component`, or an attribute for all.
    """
    size = stacked.sizes["component"]
    if "units" in stacked.coords and stacked["units"].dims == ("component",):
        return [str(unit) for unit in stacked["units"].values]
    unit = stacked.attrs.get("units", "")
    return [unit if isinstance(unit, str) else ""] * size


def regular_step(stacked: xr.DataArray, time: str) -> tuple[float, str] | None:
    """The step between two times and its unit, as `step_of`; None where the data do not tell.

    Args:
        stacked: the data.
        time: name of the dimension.

    Raises:
        InputError: the times do not ascend, or some are missing.
    """
    if time not in stacked.coords or stacked.sizes[time] < 2:
        return None
    times = stacked[time]
    if numbers(stacked, time) == list(range(len(times))) and "units" not in times.attrs:
        return None
    if times.dtype.kind not in "iufMO":
        raise InputError(
            f"Received times {time!r} of the type {times.dtype}; expected dates or numbers."
        )
    step, unit = step_of(times)
    between = np.diff(numbers_of(times))
    late = np.flatnonzero(between > MISSING * np.median(between))
    if late.size:
        raise InputError(
            f"Received times {time!r} of which some are missing: {late.size} steps are longer than "
            f"most, the first after {times.values[late[0]]}. Put them back as NaN: "
            f"tf4dvar.data.time_axis.regular(dataset, {time!r})."
        )
    return step, unit


def axis_of(stacked: xr.DataArray, name: str) -> Axis:
    """What the coordinates along a dimension of space tell.

    Args:
        stacked: the data.
        name: of the dimension.

    Raises:
        InputError: they are numbers that neither ascend nor descend.
    """
    size = stacked.sizes[name]
    numbered = numbers(stacked, name)
    if numbered is not None and numbered == sorted(numbered):
        return Axis(name, None, False)
    values = stacked[name].values
    if size < 2 or values.ndim != 1 or values.dtype.kind not in "iuf":
        return Axis(name, None, False)
    between = np.diff(values.astype("float64"))
    if not ((between > 0).all() or (between < 0).all()):
        raise InputError(
            f"Received coordinates {name!r} from {shown(values[0])} to {shown(values[-1])} that "
            f"neither ascend nor descend; sort them: dataset.sortby({name!r})."
        )
    if numbered is not None:
        return Axis(name, None, False, reversed=True)
    spacing = float(between.mean())
    return Axis(name, spacing, _is_round(spacing, size, _circle(stacked[name])))


def _circle(coordinate):
    """After how much it repeats; None where that is not told."""
    if _is_longitude(coordinate):
        return CIRCLE
    told = coordinate.attrs.get(PERIOD)
    return float(told) if isinstance(told, int | float | np.number) else None


def _is_longitude(coordinate):
    told = (coordinate.attrs.get("standard_name"), coordinate.attrs.get("units"), coordinate.name)
    return any(
        str(each).lower() in ("longitude", "lon", "degrees_east", "degree_east") for each in told
    )


def _is_round(spacing, size, circle):
    return circle is not None and abs(abs(spacing) * size - circle) < abs(spacing) / 2


def looked_at(
    stacked: xr.DataArray, told: int
) -> tuple[tuple[float | None, ...], tuple[float | None, ...], Observed]:
    """Least and greatest observed values, None where there are none, and what is observed.

    Args:
        stacked: the data, read some windows at a time.
        told: of how many components each; 1 for all together.
    """
    if "window" not in stacked.dims:
        stacked = stacked.expand_dims("window")
    low, high, observed = np.full(told, np.inf), np.full(told, -np.inf), Observed(told)
    for chunk in chunks(stacked.shape):
        values = stacked[chunk].values
        values = values.reshape(*values.shape[:2], -1, told)
        mask = np.isfinite(values)
        low = np.minimum(low, np.where(mask, values, np.inf).min(axis=(0, 1, 2)))
        high = np.maximum(high, np.where(mask, values, -np.inf).max(axis=(0, 1, 2)))
        observed.add(mask)
    return _known(low), _known(high), observed


def _known(ends):
    return tuple(float(end) if np.isfinite(end) else None for end in ends)


def component_names(stacked: xr.DataArray) -> tuple[str, ...]:
    """The names of the components.

    Args:
        stacked: the data; the labels of `component` are names.

    Raises:
        InputError: two have the same.
    """
    names = tuple(map(str, stacked["component"].values))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"Received two components of the name {shown(twice)}; expected a name for each."
        )
    return names


def listed(names: Sequence[Any]) -> str:
    """Names for a message, the first of many.

    Args:
        names: they.
    """
    return ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
