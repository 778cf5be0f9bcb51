import numpy as np
import pytest
import xarray as xr

from tests.data.series import field, table
from tf4dvar.data import Layout, open_data, protocol_plan, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63


@pytest.mark.parametrize(
    ("units", "of_error", "power"),
    [
        ("K", "K", 1),
        ("degC", "K", 1),
        ("degC", "celsius", 1),
        ("m s-1", "m/s", 1),
        ("m", "m2", 2),
        ("m s-1", "m2 s-2", 2),
        ("K", "degC^2", 2),
    ],
)
def test_errors_are_deviations_or_variances_by_their_units(units, of_error, power, said):
    data = field()
    data["sst"].attrs["units"] = units
    data["err"] = data["sst"].copy(data=np.full((6, 4, 5), 2.0)).assign_attrs(units=of_error)
    opened = open_data(data, error="err")
    variance = opened["sst_noise_variance"]
    assert (variance == 2.0 ** (3 - power)).all()
    xr.testing.assert_identical(opened[["sst"]], data[["sst"]])
    stacked = Layout.of(opened).noise_variance(opened)
    assert stacked.dims == ("time", "lat", "lon", "component")
    assert said() == ""


@pytest.mark.parametrize(
    ("units", "of_error", "name", "message"),
    [
        ("m", "cm", "err", "'cm' and 'sst' has 'm'"),
        ("m", "", "err", "does not tell whether"),
        ("1", "1", "err", "does not tell whether"),
        ("m", "m", "sst_variance", "'m'"),
    ],
)
def test_errors_that_do_not_fit_are_refused(units, of_error, name, message):
    data = field()
    data["sst"].attrs["units"] = units
    data[name] = data["sst"].copy().assign_attrs(units=of_error, long_name="")
    with pytest.raises(InputError, match=message):
        open_data(data, error=name)


@pytest.mark.parametrize(
    ("attributes", "power"),
    [
        ({"standard_name": "sea_surface_temperature standard_error"}, 2),
        ({"long_name": "error variance"}, 1),
    ],
)
def test_errors_without_units_are_told_by_their_names(attributes, power):
    data = field()
    data["e"] = (data["sst"].dims, np.full((6, 4, 5), 3.0), attributes)
    assert (open_data(data, error="e")["sst_noise_variance"] == 3.0**power).all()


def test_an_error_of_each_place_holds_at_all_times():
    data = field()
    data["err"] = (("lon", "lat"), np.full((5, 4), 2.0), {"units": "K"})
    opened = open_data(data, error="err")
    variance = Layout.of(opened).noise_variance(opened)
    assert variance.shape == (6, 4, 5, 1)
    assert (variance == 4).all()
    data["err"] = ("other", [1.0, 2.0], {"units": "K"})
    with pytest.raises(InputError, match="'err' has the dimensions"):
        open_data(data, error="err")


def test_what_has_no_known_error_does_not_count():
    data = field().fillna(1.0)
    data["err"] = (data["sst"].dims, np.ones((6, 4, 5)), {"units": "K"})
    data["err"].values[0, 0, :3] = [0.0, -1.0, np.nan]
    opened = open_data(data, error="err")
    assert opened["sst"].isnull().values.sum() == 3


def test_each_of_several_variables_has_its_error():
    data = table()
    data["e"] = ("time", np.ones(48), {"units": "K"})
    with pytest.raises(InputError, match="the names of the errors by theirs"):
        open_data(data, error="e")
    opened = open_data(data, error={"temperature": "e"})
    variance = Layout.of(opened).noise_variance(opened)
    assert (variance.sel(component="temperature") == 1).all()
    assert variance.sel(component="pressure").isnull().all()
    for error in ({"nothing": "e"}, {"temperature": "nothing"}):
        with pytest.raises(InputError, match="which is not there"):
            open_data(data, error=error)


@pytest.mark.parametrize("name", ["observation_variance", "noise_variance"])
def test_the_variances_of_a_file_of_windows_are_taken_by_themselves(name, said):
    windows = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 3, seed=7)
    windows[name] = windows["truth"] ** 2 + 1
    opened = open_data(windows)
    assert opened["observations_noise_variance"].attrs["long_name"] == "noise variance"
    variance = Layout.of(opened).noise_variance(opened)
    np.testing.assert_array_equal(variance, windows[name])
    xr.testing.assert_equal(opened["observations"], windows["observations"])
    assert said() == ""
