import datetime

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tests.data.series import field, table
from tests.properties.strategies import seeded
from tf4dvar.data import binned, regular
from tf4dvar.data.time_axis import step_of
from tf4dvar.errors import InputError

CALENDARS = [None, "noleap", "360_day"]


@pytest.mark.parametrize("calendar", CALENDARS)
def test_missing_rows_are_put_back_as_nan(calendar):
    data = table(48, calendar)
    kept = [*range(12), *range(20, 30), *range(41, 48)]
    found = regular(data.isel(time=kept), "time")
    xr.testing.assert_identical(found["time"], data["time"])
    xr.testing.assert_identical(found.isel(time=kept), data.isel(time=kept))
    missing = np.setdiff1d(np.arange(48), kept)
    assert found.isel(time=missing)["temperature"].isnull().all()


@given(rng=seeded(), step=st.sampled_from([1, 0.01, 3600]), first=st.sampled_from([0, -5, 1e4]))
def test_rows_that_are_dropped_at_random_come_back(rng, step, first):
    times = first + step * np.arange(60)
    data = xr.Dataset({"x": ("time", rng.normal(size=60))}, {"time": times})
    kept = np.sort(rng.choice(60, 40, replace=False))
    found = regular(data.isel(time=kept), "time")
    inner = slice(kept[0], kept[-1] + 1)
    np.testing.assert_allclose(found["time"], times[inner], rtol=1e-9, atol=1e-9)
    whole = np.where(np.isin(np.arange(60), kept), data["x"], np.nan)
    np.testing.assert_array_equal(found["x"], whole[inner])


def test_times_in_single_precision_are_regular_over_long_gaps():
    """Hours as days since 1950, of which float32 is off by a minute and a half."""
    hours = np.r_[0:500, 900:1500, 4000:4100]
    days = (24000 + hours / 24).astype("float32").astype("float64")
    dates = np.datetime64("1950-01-01", "ns") + np.rint(days * 86400e9).astype("m8[ns]")
    data = xr.Dataset({"x": ("time", np.ones(len(hours)))}, {"time": dates})
    found = regular(data, "time")
    assert found.sizes["time"] == 4100
    np.testing.assert_array_equal(np.flatnonzero(found["x"].notnull()), hours)
    step, unit = step_of(data["time"])
    assert unit == "s"
    np.testing.assert_allclose(step, 3600, rtol=1e-3)


def test_months_are_a_step_and_one_that_is_missing_is_put_back():
    months = np.arange("2000-01", "2008-01", dtype="M8[M]").astype("M8[ns]")
    data = xr.Dataset({"x": ("time", np.ones(96))}, {"time": months})
    xr.testing.assert_identical(regular(data, "time"), data)
    found = regular(data.drop_isel(time=[14, 40, 41]), "time")
    assert np.flatnonzero(found["x"].isnull()).tolist() == [14, 40, 41]


def test_what_is_regular_or_one_time_stays_as_it_is():
    for data in (table(), table().isel(time=[3]), field(), field().drop_vars("time")):
        xr.testing.assert_identical(regular(data, "time"), data)


def test_rows_put_back_keep_the_form_of_the_file(tmp_path):
    data = field().transpose("lon", "time", "lat").isel(time=[0, 1, 4, 5])
    packing = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1}
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding={"sst": packing})
    opened = xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf", chunks={})
    found = regular(opened, "time")
    assert found["sst"].dims == opened["sst"].dims
    assert found["sst"].attrs == opened["sst"].attrs
    assert found["sst"].encoding == opened["sst"].encoding
    assert found["time"].encoding == opened["time"].encoding
    assert found["sst"].chunks is not None
    assert found.sizes["time"] == 6


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (slice(None, None, -1), r"run backwards.*sortby\('time'\)"),
        ([0, 1, 1, 2, 3], r"2001-02-20.01:00:00.* \(rows 1 and 2\).*drop_duplicates"),
        ([0, 1, 3, 2, 4], r"do not ascend, first from 2001-02-20.03:00:00"),
    ],
)
def test_times_that_do_not_ascend_are_refused_with_the_first(calendar, rows, message):
    with pytest.raises(InputError, match=message):
        regular(table(48, calendar).isel(time=rows), "time")


def test_irregular_times_are_refused_with_the_first_and_the_way_out(rng):
    for times in (
        np.sort(rng.random(30)),
        [0.0, 1.0, 2.0, 3.5, 4.5],
        np.r_[0:10, 10.3:20.3],
        [0, 1e-9, 1e9],
        [0, 1, 1e300],
    ):
        data = xr.Dataset({"x": ("time", np.ones(len(times)))}, {"time": times})
        with pytest.raises(InputError, match=r"no whole steps apart, first .*time_step="):
            regular(data, "time")
    with pytest.raises(InputError, match="no dates or numbers"):
        regular(data.assign_coords(time=[0.0, np.nan, 2.0]), "time")
    dates = table(3)["time"].values.copy()
    dates[0] = np.datetime64("NaT")
    with pytest.raises(InputError, match="no dates or numbers"):
        regular(data.assign_coords(time=dates), "time")


def by_the_definition(times, values, start, step, steps):
    """Means of those whose nearest time of the grid is the same."""
    means = np.full((steps, *values.shape[1:]), np.nan)
    for cell in range(steps):
        near = np.abs(times - start - step * cell) < step / 2
        if near.any():
            known = ~np.isnan(values[near])
            count = known.sum(0)
            total = np.where(known, values[near], 0).sum(0)
            means[cell] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


@given(rng=seeded())
def test_means_of_cells_are_those_of_the_definition_in_any_order(rng):
    times = rng.uniform(0, 12, size=50)
    times[0] = 0.0
    values = rng.normal(size=(50, 2))
    values[rng.random(values.shape) < 0.4] = np.nan
    data = xr.Dataset({"x": (("time", "lat"), values)}, {"time": times})
    found = binned(data, "time", 0.5)
    steps = found.sizes["time"]
    np.testing.assert_allclose(found["time"], 0.5 * np.arange(steps))
    np.testing.assert_allclose(found["x"], by_the_definition(times, values, 0.0, 0.5, steps))
    other = data.isel(time=rng.permutation(50)).transpose("lat", "time")
    xr.testing.assert_allclose(binned(other, "time", 0.5), found.transpose("lat", "time"))


def test_the_variance_of_a_mean_is_divided_by_the_number():
    data = xr.Dataset(
        {"x": ("time", [1.0, 3.0, 5.0, np.nan, 4.0])}, {"time": [0.0, 0.1, 0.2, 0.3, 2.0]}
    )
    found = binned(data.assign_attrs(noise_variance=6.0), "time", 1.0)
    np.testing.assert_allclose(found["x"], [3.0, np.nan, 4.0])
    np.testing.assert_allclose(found["x_noise_variance"], [2.0, np.nan, 6.0])
    each = ("time", [1.0, 2.0, 6.0, 100.0, 4.0], {"units": "K2"})
    found = binned(data.assign(x_noise_variance=each), "time", 1.0)
    np.testing.assert_allclose(found["x_noise_variance"], [9.0 / 9, np.nan, 4.0])
    assert found["x_noise_variance"].attrs == {"units": "K2"}


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("step", ["1h", datetime.timedelta(hours=1), np.timedelta64(3600, "s")])
def test_what_is_regular_is_binned_to_itself(calendar, step):
    data = table(60, calendar)
    found = binned(data, "time", step)
    xr.testing.assert_allclose(found, data)
    assert (found["time"].values == data["time"].values).all()
    some = data.isel(time=[0, 5, 9])
    found = binned(some, "time", step)
    xr.testing.assert_allclose(found.isel(time=[0, 5, 9]), some)
    assert found.sizes["time"] == 10


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_grid_may_begin_elsewhere(calendar):
    data = table(48, calendar).fillna(0.0)
    start = data["time"].values[10]
    found = binned(data, "time", "6h", start=start)
    assert found["time"].values[0] == start
    assert found.sizes["time"] == 7


@pytest.mark.parametrize("step", ["1.5", "h1", 3600, 0, "-1h", None, "NaT"])
def test_a_step_of_dates_that_is_none_is_refused(step):
    with pytest.raises(InputError, match="expected a text as '1h'"):
        binned(table(), "time", step)


@pytest.mark.parametrize("step", ["1h", -1.0, np.nan, np.inf, np.timedelta64(1, "h")])
def test_a_step_of_numbers_that_is_none_is_refused(step):
    data = table().assign_coords(time=np.arange(48.0))
    with pytest.raises(InputError, match="expected a number above 0"):
        binned(data, "time", step)
    assert binned(data, "time", "2").sizes["time"] == 25


def test_a_grid_beyond_the_memory_is_refused():
    data = xr.Dataset({"x": ("time", [1.0, 2.0])}, {"time": [0.0, 1.0]})
    with pytest.raises(InputError, match="GB are needed"):
        binned(data, "time", 1e-13)


def test_the_step_of_one_time_is_not_known():
    with pytest.raises(InputError, match="the 1 times of 'time'"):
        step_of(table(1)["time"])
