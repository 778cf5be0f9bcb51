import tempfile

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tests.data.series import PACKED, field, table
from tf4dvar.data import Layout, open_data
from tf4dvar.errors import InputError


def test_packed_files_keep_their_packing_and_come_back_to_the_last_number(tmp_path):
    times = {"units": "days since 1950-01-01", "dtype": "float32"}
    encoding = {"sst": PACKED, "time": times}
    field().to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding=encoding)
    raw = xr.open_dataset(tmp_path / "a.nc", decode_cf=False)
    opened = open_data(tmp_path / "a.nc")
    layout = Layout.of(opened)
    back = layout.unstack(layout.stack(opened), opened)
    back.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    xr.testing.assert_identical(xr.open_dataset(tmp_path / "b.nc", decode_cf=False), raw)


def test_the_valid_range_is_applied_in_packed_numbers(tmp_path):
    data = table().fillna(0.0)
    data["temperature"].values[:] = np.linspace(280, 300, 48)
    for number, (attributes, encoding) in enumerate(
        (
            ({"valid_min": np.float64(285), "valid_max": np.float64(295)}, {}),
            ({"valid_range": np.array([-500, 500], "int16")}, PACKED | {"add_offset": 290.0}),
            ({"valid_range": np.array([285.0, 295.0])}, PACKED | {"add_offset": 290.0}),
        )
    ):
        data["temperature"].attrs |= attributes
        path = tmp_path / f"{number}.nc"
        data.to_netcdf(path, engine="h5netcdf", encoding={"temperature": encoding})
        opened = open_data(path)["temperature"]
        inside = (data["temperature"].round(2) >= 285) & (data["temperature"].round(2) <= 295)
        np.testing.assert_array_equal(opened.notnull(), inside)
        assert set(attributes) <= set(opened.attrs)
        for name in attributes:
            del data["temperature"].attrs[name]


def test_a_valid_range_that_is_none_is_refused_or_passed_over():
    data = table()
    data["temperature"].attrs["valid_range"] = "all"
    with pytest.raises(InputError, match="no two numbers"):
        open_data(data)
    data["temperature"].attrs = {"valid_min": np.int8(0), "valid_max": np.int8(-1)}
    assert open_data(data)["temperature"].equals(data["temperature"])


@pytest.mark.parametrize("attributes", [{"scale_factor": "abc"}, {"add_offset": np.inf}])
def test_packing_that_is_no_number_is_refused(attributes):
    data = field()
    data["sst"].attrs |= attributes
    with pytest.raises(InputError, match="expected a number"):
        open_data(data)


@given(st.data())
def test_calendars_packing_and_types_in_a_file_do_not_change_its_states(data):
    base = field()
    base["sst"] = base["sst"].round(2)
    expected = Layout.of(base).stack(base)
    packed = data.draw(st.sampled_from([{}, PACKED, {"dtype": "float64"}, {"dtype": ">f4"}]))
    calendar = data.draw(st.sampled_from(["noleap", "360_day", "standard"]))
    times = xr.date_range("2001-01-01", periods=6, calendar=calendar, use_cftime=True)
    unit = data.draw(st.sampled_from(["days", "hours", "seconds"]))
    times = xr.Variable("time", times, encoding={"units": f"{unit} since 1950-01-01"})
    order = data.draw(st.permutations(["time", "lat", "lon"]))
    form = base.assign_coords(time=times).transpose(*order)
    with tempfile.TemporaryDirectory() as folder:
        form.to_netcdf(f"{folder}/a.nc", engine="h5netcdf", encoding={"sst": packed})
        with open_data(f"{folder}/a.nc") as opened:
            layout = Layout.of(opened)
            found = layout.stack(opened)
            back = layout.unstack(found, opened)
            assert back["sst"].dims == tuple(order)
            assert back["sst"].encoding == opened["sst"].encoding
            assert back["time"].encoding["calendar"] == calendar
            np.testing.assert_allclose(found, expected, atol=1e-4)
            np.testing.assert_array_equal(back["sst"], opened["sst"])
