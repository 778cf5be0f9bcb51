import numpy as np
import pytest
import xarray as xr

from tests.data.series import field
from tf4dvar.data import (
    DIMS,
    Layout,
    open_data,
    open_windows,
    read_windows,
    states_dataset,
    write_dataset,
    write_states,
)


@pytest.fixture
def stacked():
    """A field as windows, a component for each point, as the documentation says."""
    components = field(times=12).stack(component=("lat", "lon"))["sst"]
    windows = components.values.reshape(3, 4, 20)
    return xr.Dataset({"observations": (DIMS, windows)}, components.drop_vars("time").coords)


def test_labels_of_two_parts_are_written_and_read_back(stacked, tmp_path):
    write_dataset(stacked, tmp_path / "windows.nc")
    found = read_windows(tmp_path / "windows.nc")
    xr.testing.assert_identical(found, stacked)
    assert found["component"].to_index().equals(stacked["component"].to_index())
    assert found["lat"].attrs == {"units": "degrees_north"}
    raw = xr.open_dataset(tmp_path / "windows.nc", engine="h5netcdf")
    assert raw["component"].attrs == {"compress": "lat lon"}  # CF, section 8.2
    xr.testing.assert_identical(open_data(tmp_path / "windows.nc").load(), stacked)


def test_parts_of_a_field_keep_their_labels(stacked, tmp_path):
    some = stacked.isel(component=[7, 3, 19])
    write_dataset(some, tmp_path / "windows.nc")
    xr.testing.assert_identical(read_windows(tmp_path / "windows.nc"), some)


def test_states_of_such_windows_have_their_labels(stacked, tmp_path):
    states = stacked["observations"].fillna(0.0).values
    write_dataset(stacked, tmp_path / "windows.nc")
    with open_windows(tmp_path / "windows.nc") as opened:
        write_states(
            opened, [{"state": part} for part in np.split(states, 3)], tmp_path / "pieces.nc"
        )
    expected = states_dataset(stacked, states)
    xr.testing.assert_identical(read_windows(tmp_path / "pieces.nc", "state"), expected)
    layout = Layout.of(stacked)
    assert layout.variables[1] == str(stacked["component"].values[1])
    xr.testing.assert_identical(layout.unstack(layout.stack(stacked), stacked), stacked)


@pytest.mark.parametrize("numbers", [[0, 1, 99], [-1, 0, 1]])
def test_numbers_outside_their_product_are_no_labels(numbers, tmp_path):
    dataset = xr.Dataset(
        {"observations": (DIMS, np.ones((2, 4, 3)))},
        {"component": ("component", numbers, {"compress": "lat lon"}), "lat": [1.0], "lon": [2.0]},
    )
    write_dataset(dataset, tmp_path / "windows.nc")
    assert read_windows(tmp_path / "windows.nc")["component"].values.tolist() == numbers
