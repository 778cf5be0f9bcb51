import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tf4dvar.data import time_step_of
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63, System


def data(times, units=None, **attributes):
    attrs = {} if units is None else {"units": units}
    return xr.Dataset(coords={"time": ("time", times, attrs)}, attrs=attributes)


def system(time_units):
    return System(
        lambda state: -state,
        components=1,
        time_step=1.0,
        initial=np.ones((1, 1)),
        time_units=time_units,
    )


def test_the_step_is_that_of_the_file_where_it_tells_one():
    times = 0.02 * np.arange(9)
    assert time_step_of(data(times), Lorenz63()) == pytest.approx(0.02)
    assert time_step_of(xr.Dataset(attrs={"time_step": 0.02}), Lorenz63()) == 0.02
    assert time_step_of(xr.Dataset(), Lorenz63()) == 0.01
    # To the last bit the system's, where it is the same.
    assert time_step_of(data((times / 2).astype("float32")), Lorenz63()) == 0.01


@pytest.mark.parametrize(
    ("unit", "step"), [("s", 21600.0), ("min", 360.0), ("hours", 6.0), ("days", 0.25)]
)
def test_dates_are_counted_in_the_unit_of_the_system(unit, step):
    dates = pd.date_range("2001-01-01", periods=5, freq="6h")
    assert time_step_of(data(dates), system(unit)) == step
    assert time_step_of(data(6.0 * np.arange(5), "hours"), system(unit)) == step


def test_what_does_not_fit_is_refused():
    times = 0.02 * np.arange(9)
    with pytest.raises(InputError, match=r"time_step = 0.01 and times of the step 0.02"):
        time_step_of(data(times, time_step=0.01), Lorenz63())
    with pytest.raises(InputError, match="are dates, the unit of time of l63 is '1'"):
        time_step_of(data(pd.date_range("2001-01-01", periods=5)), Lorenz63())
    with pytest.raises(InputError, match=r"are in years, the unit of time of .* is 'days'"):
        time_step_of(data(times, "years"), system("days"))
    with pytest.raises(InputError, match="ascend"):
        time_step_of(data(times[::-1]), Lorenz63())
