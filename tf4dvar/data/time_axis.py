"""The time axis of a series: its step, the steps that are missing, and times that have none."""

import numpy as np
import xarray as xr

from tf4dvar.errors import InputError

# Of a step, by which times may be off: single precision in days since 1950 is off by minutes.
TOLERANCE = 0.05


def step_of(times: xr.DataArray) -> tuple[float, str]:
    """The step between times, and its unit.

    The step is that which most neighbours have; times may be missing. Rounding of single times,
    as single precision has it, is averaged out.

    Args:
        times: the coordinate: dates (`datetime64` or cftime), or numbers, whose unit is their
            attribute `units`.

    Returns:
        Seconds and "s" for dates; else the step in the coordinate's own numbers, and its unit,
        "" if it tells none.

    Raises:
        InputError: fewer than two times, or times that do not ascend.
    """
    values = numbers_of(times)
    steps = np.diff(values)
    if not steps.size or not (steps > 0).all():
        raise InputError(
            f"Received the {values.size} times {_ends(times)} on {times.name!r}; expected two or "
            f"more that ascend. Sort them, and drop what stands twice: "
            f"dataset.sortby({times.name!r}).drop_duplicates({times.name!r})."
        )
    step, whole = float(np.median(steps)), float(values[-1] - values[0])
    step = whole / round(whole / step)
    unit = "s" if is_dates(times) else str(times.attrs.get("units", ""))
    return step, unit


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


def _ends(times):
    values = times.values
    return f"from {values[0]} to {values[-1]}" if values.size else "(none)"
