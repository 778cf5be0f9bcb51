"""The time step of a data set, as a system counts it."""

import xarray as xr

from tf4dvar.data.dataset import number_of
from tf4dvar.data.time_axis import is_dates, step_of
from tf4dvar.data.units import SECONDS, unit_name
from tf4dvar.errors import InputError
from tf4dvar.systems import System

# Of the steps of a file and of a system, within which they are one.
SAME = 1e-3


def time_step_of(dataset: xr.Dataset, system: System) -> float:
    """The time step of a data set, in the unit of time of a system.

    Args:
        dataset: its coordinate `time` and its attribute `time_step` tell it, if there are any.
        system: whose step it is where nothing tells it, or tells the same.

    Raises:
        InputError: the two say different things, or times are in a unit that the system's is not.
    """
    steps = []
    if "time_step" in dataset.attrs:
        steps.append(number_of(dataset, "time_step"))
    if "time" in dataset.coords and dataset.sizes["time"] > 1:
        steps.append(_in_unit(*step_of(dataset["time"]), dataset["time"], system))
    if len(steps) == 2 and abs(steps[0] - steps[1]) > SAME * steps[0]:
        raise InputError(
            f"The data set has the attribute time_step = {steps[0]:g} and times of the step "
            f"{steps[1]:g}; expected the same of both. Set it: dataset.attrs['time_step'] = ..."
        )
    step = steps[0] if steps else system.time_step
    return system.time_step if abs(step - system.time_step) <= SAME * step else step


def _in_unit(step, unit, times, system):
    seconds, known = (SECONDS.get(unit_name(each)) for each in (unit, system.time_units))
    if seconds and known:
        return step * seconds / known
    # What tells no unit is in that of the other.
    if is_dates(times) or (not {unit, system.time_units} & {"", "1"} and unit != system.time_units):
        raise InputError(
            f"The times of the data set are {'dates' if is_dates(times) else f'in {unit}'}, the "
            f"unit of time of {system.name} is {system.time_units!r}; expected one of "
            f"{', '.join(SECONDS)}: System(..., time_units='hour')."
        )
    return step
