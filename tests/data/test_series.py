import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tf4dvar.data import Patches, Series, open_data
from tf4dvar.data.series import with_errors
from tf4dvar.errors import InputError


def table(rows=100, missing=(), dtype="float64"):
    rng = np.random.default_rng(rows)
    times = pd.date_range("2020-01-01", periods=rows, freq="h")
    data = xr.Dataset(
        {
            "t": ("time", rng.normal(15, 8, rows).astype(dtype), {"units": "degC"}),
            "chl": ("time", rng.lognormal(size=rows).astype(dtype), {"units": "mg m-3"}),
        },
        {"time": times},
        {"title": "a station"},
    )
    return data.drop_isel(time=np.array(list(missing), int))


def assert_same(joined, data):
    """Up to rounding in double precision, and in the same form."""
    xr.testing.assert_allclose(joined, data, rtol=1e-12)
    xr.testing.assert_identical(joined.coords.to_dataset(), data.coords.to_dataset())
    assert {name: (of.dims, of.attrs) for name, of in joined.data_vars.items()} == {
        name: (of.dims, of.attrs) for name, of in data.data_vars.items()
    }
    assert joined.attrs == data.attrs


def rejoined(series, window, overlap):
    patches = series.patches(window, overlap)
    slabs = series.restored(patches.join(patches.cut(series.observations, 3)))
    return xr.concat(list(slabs), series.layout.time)


@given(
    rows=st.integers(1, 60),
    window=st.integers(1, 20),
    missing=st.sets(st.integers(1, 57), max_size=20),
)
def test_what_is_cut_and_joined_is_the_data_set_at_its_own_times(rows, window, missing):
    data = table(rows, [row for row in missing if row < rows - 1])
    series = Series.of(data)
    assert_same(rejoined(series, window, window // 2), data)


def test_missing_hours_are_rows_of_nan_to_the_model():
    data = table(10, [3, 4])
    observations = Series.of(data).observations
    assert observations.sizes["time"] == 10
    assert np.isnan(observations[3:5]).all()
    assert np.isfinite(observations.drop_isel(time=[3, 4])).all()


def test_a_model_works_on_the_scale_of_the_transform_and_its_states_come_back():
    data = table()
    series = Series.of(data, transforms={"chl": "log10"})
    worked_on = series.observations.sel(component="chl")
    np.testing.assert_allclose(worked_on, np.log10(data["chl"]))
    np.testing.assert_array_equal(series.observations.sel(component="t"), data["t"])
    xr.testing.assert_allclose(rejoined(series, 24, 6), data, rtol=1e-12)


def test_the_noise_of_a_transformed_variable_is_that_of_its_logarithm():
    data = table().assign(chl_noise_variance=("time", np.full(100, 1e-4)))
    variance = Series.of(data, transforms={"chl": "log10"}).noise_variance
    slope = 1 / (data["chl"] * np.log(10))
    np.testing.assert_allclose(variance.sel(component="chl"), 1e-4 * slope**2, rtol=1e-5)
    assert np.isnan(variance.sel(component="t")).all()


def test_windows_cover_the_series_and_those_of_the_truth_are_at_their_times():
    data = table(50, [7])
    truth = table(50)[["chl", "t"]].isel(time=slice(None, None, -1)).sortby("time")
    series = Series.of(data)
    series = Series.of(data)
    windows = series.cut(20, truth=Series.of(truth).at_times_of(series))
    assert dict(windows.sizes) == {"window": 3, "time": 20, "component": 2}
    known = windows["observations"].notnull()
    assert int((~known).sum()) == 2
    xr.testing.assert_equal(
        windows["observations"].where(known), windows["truth"].where(known).rename("observations")
    )
    np.testing.assert_array_equal(windows["truth"][-1, :, 0], table(50)["t"][30:])


def test_a_truth_of_other_variables_is_refused():
    with pytest.raises(InputError, match=r"Received true states of t; expected .* t, chl"):
        Series.of(table()[["t"]]).at_times_of(Series.of(table()))


def test_windows_that_do_not_overlap_have_the_time_step_of_the_series():
    series = Series.of(table(45))
    windows = series.windows(series.observations, 20)
    assert windows.shape == (2, 20, 2)
    np.testing.assert_array_equal(windows["time"], series.observations["time"][:20])
    np.testing.assert_array_equal(windows[1], series.observations[20:40])
    assert series.windows(series.observations, 100).shape == (1, 45, 2)


def test_maps_come_back_with_their_dimensions_in_any_order():
    rng = np.random.default_rng(0)
    data = xr.Dataset(
        {"sst": (("lon", "time", "lat"), rng.normal(size=(4, 30, 5)))},
        {
            "time": pd.date_range("2020-01-01", periods=30),
            "lat": np.linspace(40, 36, 5),
            "lon": np.arange(4.0),
        },
    )
    series = Series.of(data)
    assert series.observations.dims == ("time", "lat", "lon", "component")
    assert_same(rejoined(series, 12, 4), data)
    assert isinstance(series.patches(12, 4), Patches)


@pytest.mark.long
@pytest.mark.parametrize("time", ["time", "date"])
@pytest.mark.parametrize(
    "name", ["window", "component", "units", "time", "covariate", "covariates", "observations"]
)
def test_coordinates_may_have_any_name(name, time):
    """As a window that was taken out of a file of them still has its number."""
    if name == time:
        return
    data = table(60) if time == "time" else table(60).rename({"time": time})
    data[time].attrs = {"long_name": "time of the measurement"}
    for value in (3, (time, np.arange(60)), ("other", np.arange(2))):
        series = Series.of(open_data(data.assign_coords({name: value})))
        assert_same(rejoined(series, 12, 3), series.dataset)
        cut = series.cut(12, 3)
        assert cut["observations"].dims == ("window", "time", "component")
        np.testing.assert_array_equal(cut["time"], data[time][:12])
        assert cut["time"].attrs == data[time].attrs
        assert series.windows(series.observations, 12).sizes["window"] == 5


def test_errors_stand_beside_their_variables():
    data = table(5)
    both = with_errors(data, data)
    assert list(both) == ["t", "chl", "t_error", "chl_error"]
    assert both["t_error"].attrs["units"] == "degC"
    assert data["t"].attrs == {"units": "degC"}
