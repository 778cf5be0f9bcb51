import numpy as np
import pytest
import xarray as xr

from tests.data.series import field, table
from tf4dvar.data import Patches, Series, open_data
from tf4dvar.errors import InputError


def forced_table(hours=48):
    """A station's table with the wind, and the tide, which is linear in time."""
    hour = np.arange(float(hours))
    return table(hours).assign(
        wind=("time", np.sin(hour), {"units": "m s-1"}), tide=("time", 3 - 0.5 * hour)
    )


def test_they_are_known_beside_the_measurements():
    data = forced_table()
    assert Series.of(open_data(data)).layout.variables == (*table(), "wind", "tide")
    opened = open_data(data, covariates=["tide", "wind"])
    series = Series.of(opened)
    assert series.layout.variables == tuple(table())
    np.testing.assert_array_equal(series.known(["wind", "tide"])[:, 0], data["wind"])
    np.testing.assert_array_equal(series.known(["tide"])[:, 0], data["tide"])
    assert set(series.like.variables) == {*table().variables}
    states = series.observations.values
    (restored,) = series.restored([states])
    assert set(restored.variables) == {*table().variables}
    with pytest.raises(InputError, match="the covariates tide, wind; the dynamics need snow, too"):
        series.known(["snow"])
    with pytest.raises(InputError, match=r"expected a variable `covariates` with .*\('time', 'c"):
        Series.of(table()).known(["wind"])


def test_windows_have_those_of_their_times():
    data = forced_table(50)
    cut = Series.of(open_data(data, covariates=["tide"])).cut(12, overlap=3)
    assert cut["covariates"].dims == ("window", "time", "covariate")
    assert cut["covariate"].values.tolist() == ["tide"]
    begins = [window.start for (window,) in Patches((50,), (12,), (3,))]
    expected = data["tide"].values[np.add.outer(begins, np.arange(12))]
    np.testing.assert_array_equal(cut["covariates"][..., 0], expected)


def test_maps_have_them_too():
    data = field().assign(wind=("time", np.arange(6.0)))
    series = Series.of(open_data(data, covariates=["wind"]))
    assert series.cut(4)["covariates"].shape == (2, 4, 1)


def test_between_the_times_they_are_linear(caplog):
    data = forced_table()
    rows = np.r_[0:5, 9:30, 31:48]
    series = Series.of(open_data(data.isel(time=rows), covariates=["tide"]))
    np.testing.assert_allclose(series.covariates[:, 0], data["tide"], atol=1e-12)
    assert not caplog.records
    data["tide"][10:13] = np.nan
    series = Series.of(open_data(data, covariates=["tide"]))
    np.testing.assert_allclose(series.covariates[:, 0], 3 - 0.5 * np.arange(48), atol=1e-12)
    assert "'tide' is not known at 3 of 48 times" in caplog.text
    data["tide"][:2] = np.nan
    with pytest.raises(InputError, match="'tide' is not known at the first or the last of the 48"):
        _ = Series.of(open_data(data, covariates=["tide"])).covariates


def test_on_a_grid_of_times_they_are_means():
    data = forced_table(60)
    every_third = open_data(data, covariates=["tide"], time_step="3h")
    of_cells = Series.of(every_third).covariates[:, 0]
    # The first cell is centred on the first time, and has no earlier ones; the last is not full.
    np.testing.assert_allclose(of_cells[1:-1], data["tide"][3::3], atol=1e-6)


def test_only_numbers_over_time_are_some():
    data = forced_table().assign(name=("time", ["x"] * 48))
    for name, said in (("snow", "covariate 'snow'; expected some of"), ("name", "type <U1")):
        with pytest.raises(InputError, match=said):
            open_data(data, covariates=[name])
    with pytest.raises(InputError, match=r"'sst' has the dimensions \{'time': 6, 'lat': 4"):
        open_data(field().assign(other=field()["sst"]), ["other"], covariates=["sst"])
    one = xr.Dataset({"wind": (("time", "level"), np.arange(48.0)[:, None])})
    assert open_data(table().assign(one), covariates=["wind"])["covariates"].shape == (48, 1)
