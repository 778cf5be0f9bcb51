"""The time axis of a series: its step, the steps that are missing, and times that have none."""

import datetime
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tf4dvar.data.arrays import float_of
from tf4dvar.data.conventions import VARIANCE
from tf4dvar.errors import InputError, shown
from tf4dvar.runtime import check_memory

# Of a step, by which times may be off: hours in days since 1950 are off by minutes in single
# precision, and months, of 28 to 31 days, by two days.
TOLERANCE = 0.1
# Rows of a grid for each that is there: beyond, it is a few times far apart, and no grid.
LONGEST = 100

Step = float | str | datetime.timedelta | np.timedelta64
"""Between times: a number, or of dates a text as "1h" or a `timedelta`."""


def step_of(times: xr.DataArray) -> tuple[float, str]:
    """The step between times, and its unit.

    All times are whole steps apart, within a tolerance; some may be missing.

    Args:
        times: the coordinate: dates (`datetime64` or cftime), or numbers, whose unit is their
            attribute `units`.

    Returns:
        Seconds and "s" for dates; else the step in the coordinate's own numbers, and its unit,
        "" if it tells none.

    Raises:
        InputError: fewer than two times, or times that do not ascend by a step.
    """
    if times.size < 2:
        raise InputError(
            f"Received the {times.size} times of {str(times.name)!r}; expected two or more, of "
            "which the step is known."
        )
    step, _ = _steps(times)
    return step, "s" if is_dates(times) else str(times.attrs.get("units", ""))


def is_dates(times: xr.DataArray) -> bool:
    """Whether the times are dates, and no plain numbers."""
    return times.dtype.kind in "MO"


def numbers_of(times: xr.DataArray) -> np.ndarray:
    """The times as numbers: dates in seconds since the first of them.

    Args:
        times: as for `step_of`.
    """
    values = times.values
    if not is_dates(times):
        return values.astype("float64")
    first = values[0]
    if values.dtype.kind == "M":
        return (values - first) / np.timedelta64(1, "s")
    return np.array([(each - first).total_seconds() for each in values])


def regular(dataset: xr.Dataset, time: str) -> xr.Dataset:
    """A data set with the rows of missing times put back, NaN.

    Args:
        dataset: it.
        time: its dimension of time. The coordinate's own values stay as they are, those that are
            missing lie evenly between them. Without a coordinate none is missing.

    Raises:
        InputError: times that come twice, descend, or are not whole steps apart.
    """
    if time not in dataset.coords or dataset.sizes[time] < 2:
        return dataset
    times = dataset[time]
    _, numbers = _steps(times)
    if (numbers == 1).all():
        return dataset
    gap = np.repeat(np.arange(len(numbers)), numbers)
    part = np.arange(len(gap)) - (np.cumsum(numbers) - numbers)[gap]
    values, parts = times.values, numbers[gap]
    lengths = (values[1:] - values[:-1])[gap]
    if values.dtype.kind == "O":
        part, parts = part.astype(object), parts.astype(object)
    # Dates are whole ticks.
    offsets = lengths * part // parts if is_dates(times) else lengths * (part / parts)
    filled = np.append((values[:-1][gap] + offsets).astype(values.dtype), values[-1:])
    result = dataset.reindex({time: xr.DataArray(filled, dims=time, attrs=times.attrs)})
    return _encoded_as(result, dataset)


def binned(dataset: xr.Dataset, time: str, step: Step, start: Any = None) -> xr.Dataset:
    """Irregular observations on a regular grid of times: means in cells, NaN where there is none.

    Each cell is centred on its time. The noise variance of a mean is that of one observation
    divided by their number, of those that are told: by the variable `NAME_noise_variance`, or for
    all by the attribute `noise_variance`. All is read into memory.

    Args:
        dataset: it; its times may have any order.
        time: the dimension of time, which has a coordinate.
        step: of the grid, in the coordinate's own numbers; of dates a text, "1h", or a `timedelta`.
        start: the first time of the grid, what was earlier is left out; by default the first there
            is.

    Returns:
        The variables on the grid; others along time that are no numbers are left out.
    """
    times = dataset[time]
    length = _length_of(step, times)
    origin = times.values[np.argmin(numbers_of(times))] if start is None else start
    seconds = numbers_of(times) - _since_first(origin, times)
    cells = np.floor(seconds / length + 0.5)
    inside = np.flatnonzero(cells >= 0)
    cells = cells[inside]
    rows = int(cells.max(initial=0)) + 1
    of_time = {name: v for name, v in dataset.variables.items() if time in v.dims and name != time}
    needed = sum(rows * 8 * v.size // v.sizes[time] for v in of_time.values())
    check_memory(
        needed,
        f"Received the step {shown(step)}, of which {rows} are between the first time and the last",
        "Give a longer step.",
    )
    result = dataset.drop_vars([time, *of_time])
    result = result.assign_coords({time: (time, _grid(origin, length, rows, times), times.attrs)})
    for name, variable in of_time.items():
        if variable.dtype.kind not in "fiu" or str(name).endswith(VARIANCE):
            continue
        mean, number = _means(variable, time, inside, cells.astype(int), rows)
        result = result.assign({name: mean})
        variance = dataset.variables.get(f"{name}{VARIANCE}", dataset.attrs.get("noise_variance"))
        if name in dataset.coords:
            result = result.set_coords(name)
        elif variance is not None:
            of_each = 0.0 * variable + variance
            of_mean, _ = _means(of_each, time, inside, cells.astype(int), rows)
            of_mean = of_mean / number
            of_mean.attrs = getattr(variance, "attrs", {})
            result = result.assign({f"{name}{VARIANCE}": of_mean})
    result = _encoded_as(result, dataset)
    # The unit in the file need not tell the new times.
    result[time].encoding = {k: v for k, v in times.encoding.items() if k == "calendar"}
    return result


def _means(variable, time, rows, cells, number):
    """Means of a variable's rows in each cell, and the numbers of values, NaN for none."""
    values = np.moveaxis(np.asarray(variable.values), variable.get_axis_num(time), 0)[rows]
    observed = ~np.isnan(values)
    order = np.argsort(cells, kind="stable")
    found, starts = np.unique(cells[order], return_index=True)
    total, count = np.full((2, number, *values.shape[1:]), np.nan)
    for sums, each in ((total, np.where(observed, values, 0.0)), (count, observed)):
        sums[found] = np.add.reduceat(each[order].astype("float64"), starts, axis=0)
    count[count == 0] = np.nan
    dims = (time, *(dim for dim in variable.dims if dim != time))
    mean = (total / count).astype(float_of(variable.dtype))
    return tuple(
        xr.Variable(dims, each, variable.attrs).transpose(*variable.dims) for each in (mean, count)
    )


def _steps(times):
    """The step, and the number of steps from each time to the next."""
    values = numbers_of(times)
    gaps = np.diff(values)
    name = str(times.name)
    known = f"Received times of {name!r} that"
    if not np.isfinite(values).all():
        raise InputError(f"{known} are no dates or numbers; expected one for each row.")
    if (gaps < 0).all():
        raise InputError(
            f"{known} run backwards, from {times.values[0]} to {times.values[-1]}; expected "
            f"ascending ones: dataset.sortby({name!r})."
        )
    if (gaps <= 0).any():
        first = int(np.argmax(gaps <= 0))
        pair = times.values[first : first + 2]
        raise InputError(
            f"{known} do not ascend, first from {pair[0]} to {pair[1]} (rows {first} and "
            f"{first + 1}); expected each once, in order: dataset.sortby({name!r})"
            f".drop_duplicates({name!r}), or the means of those that share a step: time_step=..."
        )
    # The shortest gaps first: each tells the step more exactly for those that are longer.
    near = gaps < 1.5 * gaps.min()
    length, count = gaps[near].sum(), float(near.sum())
    for gap in np.sort(gaps[~near]):
        length, count = length + gap, count + np.rint(gap * count / length)
    step = length / count
    off = np.abs(values - values[0] - step * np.rint((values - values[0]) / step)) / step
    numbers = np.rint(gaps / step)
    if off.max() > TOLERANCE or numbers.sum() > LONGEST * len(gaps) or (numbers < 1).any():
        first = max(int(np.argmax(off > TOLERANCE)), 1)
        three = ", ".join(map(str, times.values[first - 1 : first + 2]))
        raise InputError(
            f"{known} are no whole steps apart, first {three} "
            f"(rows {first - 1} on); expected a regular axis. Put the observations on one by "
            "their nearest time: time_step=..., in its unit, of dates as '1h'."
        )
    return float(step), numbers.astype(int)


def _length_of(step, times):
    """A step in the numbers of `numbers_of`."""
    number = _number(step)
    if is_dates(times):
        try:
            number = pd.Timedelta(step).total_seconds() if np.isnan(number) else np.nan
        except ValueError:
            number = np.nan
    if not 0 < number < np.inf:
        kind = "a text as '1h', or a timedelta," if is_dates(times) else "a number"
        raise InputError(f"Received the step {shown(step)}; expected {kind} above 0.")
    return number


def _number(step):
    """A plain number, a text of one too; else NaN."""
    try:
        return np.nan if isinstance(step, np.timedelta64) else float(step)
    except (TypeError, ValueError):
        return np.nan


def _since_first(origin, times):
    first = times.values[0]
    if times.dtype.kind == "M":
        return (np.datetime64(origin) - first) / np.timedelta64(1, "s")
    return (origin - first).total_seconds() if times.dtype.kind == "O" else origin


def _grid(origin, length, rows, times):
    counts = np.arange(rows)
    if times.dtype.kind == "M":
        ticks = np.timedelta64(round(length * 1e9), "ns")
        return (np.datetime64(origin).astype("M8[ns]") + counts * ticks).astype("M8[ns]")
    if times.dtype.kind == "O":
        return np.array([origin + datetime.timedelta(seconds=length * int(i)) for i in counts])
    return (origin + length * counts).astype(float_of(times.dtype))


def _encoded_as(dataset, source):
    """A data set whose variables are to be written as those of the same name."""
    for name, variable in dataset.variables.items():
        if name in source.variables:
            variable.encoding = source.variables[name].encoding
    return dataset
