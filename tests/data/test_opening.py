import h5py
import numpy as np
import pytest
import xarray as xr

import tf4dvar
from tests.data.series import PACKED, field, table
from tf4dvar.data import open_data
from tf4dvar.errors import InputError

WAYS = {
    "netcdf4": lambda data, path: data.to_netcdf(path, engine="h5netcdf"),
    "netcdf3": lambda data, path: data.to_netcdf(path, engine="scipy"),
    "zarr2": lambda data, path: data.to_zarr(path, zarr_format=2, consolidated=False),
    "zarr3": lambda data, path: data.to_zarr(path, zarr_format=3, consolidated=False),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [table, field])
def test_every_kind_of_file_is_opened_by_the_same_call(make, way, tmp_path):
    data = make()
    WAYS[way](data, tmp_path / "data")
    opened = tf4dvar.open_data(tmp_path / "data")
    xr.testing.assert_identical(opened, data)


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "gregorian", "Gregorian", "standard"])
@pytest.mark.parametrize("units", ["days since 2001-02-20", "seconds since 1981-01-01"])
def test_calendars_and_units_of_time_are_read_and_kept(calendar, units, tmp_path):
    used = calendar if calendar in ("noleap", "360_day") else None
    data = table(30, used)
    written = {} if used else {"calendar": "proleptic_gregorian"}
    data["time"].encoding = {"units": units, "dtype": "float64"} | written
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with h5py.File(tmp_path / "a.nc", "r+") as file:
        file["time"].attrs["calendar"] = calendar
    opened = open_data(tmp_path / "a.nc")
    assert (opened["time"].values == data["time"].values).all()
    assert opened["time"].encoding["calendar"] == calendar
    assert opened["time"].encoding["units"] == units


@pytest.mark.parametrize("fill", [9999, 99999, -32768, 1e35, -9999, 1e20, 9.96921e36, -7777])
def test_an_undeclared_fill_value_is_named_with_its_share(fill, said):
    data = table(1000)
    open_data(data)
    assert said() == ""
    data["temperature"].values[::10] = fill
    open_data(data)
    text = said()
    assert f"'temperature' is exactly {fill:g} in 10 % of the entries" in text
    assert "missing_value" in text
    data["temperature"].attrs["missing_value"] = float(fill)
    assert open_data(data)["temperature"].isnull()[::10].all()
    assert said() == ""


def test_an_undeclared_packed_fill_value_is_named(tmp_path, said):
    data = field(times=40)
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding={"sst": PACKED})
    with h5py.File(tmp_path / "a.nc", "r+") as file:
        del file["sst"].attrs["_FillValue"]
    open_data(tmp_path / "a.nc")
    assert "'sst' is the packed number -32768 in 3" in said()


def test_a_variable_without_a_value_is_named(said):
    data = field()
    data["mask"] = (("lat", "lon"), np.zeros((4, 5)))
    open_data(data, mask="mask")
    assert "'sst' has no value in the 120 entries" in said()


def test_masked_arrays_and_arrays_alone_are_taken():
    values = np.ma.masked_invalid(table()["temperature"].values)
    array = xr.DataArray(values, dims="time", coords=table().coords, name="temperature")
    opened = open_data(array)
    np.testing.assert_array_equal(opened["temperature"], table()["temperature"])
    assert list(open_data(array.rename(None)).data_vars) == ["observations"]


def test_irregular_times_are_put_on_a_grid_by_an_option():
    data = table().isel(time=[0, 1, 3, 8]).fillna(1.0)
    opened = open_data(data, time_step="2h")
    assert opened.sizes["time"] == 5
    assert opened["temperature"].isnull().sum() == 1


@pytest.mark.parametrize("dim", ["time", "lat"])
def test_what_has_no_value_is_refused(dim):
    with pytest.raises(InputError, match="it has no value"):
        open_data(field().isel({dim: slice(0)}))
