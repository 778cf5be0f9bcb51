import os

import h5py
import numpy as np
import pytest
import xarray as xr

from tests.data.series import field, table
from tf4dvar.data import open_data, stores
from tf4dvar.errors import InputError


def test_a_package_that_is_missing_is_named_with_the_extra(tmp_path, monkeypatch):
    data = table(10, "noleap")
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    table().to_zarr(tmp_path / "a.zarr", consolidated=False)
    monkeypatch.setattr(stores, "installed", lambda package: False)
    with pytest.raises(InputError, match=r"noleap.* cftime .*pip install tf4dvar\[data\]"):
        open_data(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"zarr store.* zarr .*pip install tf4dvar\[data\]"):
        open_data(tmp_path / "a.zarr")


def test_values_are_read_when_they_are_asked_for(tmp_path):
    field().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert open_data(tmp_path / "a.nc")["sst"].chunks is not None


def test_without_dask_values_are_arrays(tmp_path, monkeypatch):
    field().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    monkeypatch.setattr(stores, "installed", lambda package: False)
    opened = open_data(tmp_path / "a.nc")
    assert opened["sst"].chunks is None
    xr.testing.assert_identical(opened, field())


def test_globs_and_lists_are_put_together_in_time(tmp_path):
    data = field()
    data.isel(time=slice(3, 6)).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    data.isel(time=slice(0, 3)).to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    xr.testing.assert_identical(open_data(f"{tmp_path}/*.nc").load(), data)
    xr.testing.assert_identical(open_data([tmp_path / "b.nc", tmp_path / "a.nc"]).load(), data)
    with pytest.raises(InputError, match="each time once"):
        open_data([tmp_path / "a.nc", tmp_path / "a.nc"])
    with pytest.raises(InputError, match="No file fits"):
        open_data(f"{tmp_path}/*.zarr")


@pytest.mark.parametrize("source", [3, [], None, np.zeros(3)])
def test_what_is_no_data_is_refused(source):
    with pytest.raises(InputError, match="expected a path, a glob or a list"):
        open_data(source)


def test_what_is_no_file_of_data_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("time,temperature\n")
    (tmp_path / "five").write_bytes(b"CDF\x05" + bytes(100))
    (tmp_path / "three").write_bytes(b"CDF\x01" + bytes(100))
    for name, message in {
        "": "is a folder and no zarr store",
        "nothing": "There is no file",
        "pipe": "no regular file",
        "text": "cannot be read as NetCDF-4",
        "five": "CDF-5",
        "three": "Received the variables|cannot be read as NetCDF-3",
    }.items():
        with pytest.raises(InputError, match=message):
            open_data(tmp_path / name)
    with pytest.raises(InputError, match="download it"):
        open_data("https://example.org/a.nc")


def test_a_zarr_store_runs_nothing_and_waits_for_nothing(tmp_path):
    def store(name):
        field().to_zarr(tmp_path / name, zarr_format=2, consolidated=False)
        return tmp_path / name

    metadata = store("pickle") / "sst" / ".zarray"
    text = metadata.read_text()
    metadata.write_text(text.replace('"filters": null', '"filters": [{"id": "pickle"}]'))
    assert metadata.read_text() != text
    with pytest.raises(InputError, match=r"decoded by \['pickle'\]"):
        open_data(tmp_path / "pickle")

    chunk = store("link") / "sst" / "0.0.0"
    chunk.unlink()
    chunk.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="no regular file"):
        open_data(tmp_path / "link")

    chunk = store("pipe") / "sst" / "0.0.0"
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(InputError, match="no regular file"):
        open_data(tmp_path / "pipe")

    metadata = store("huge") / "sst" / ".zarray"
    shape = metadata.read_text().replace("6,", f"{2**50},", 1).replace("6,", f"{2**50},", 1)
    metadata.write_text(shape)
    with pytest.raises(InputError, match="larger than the memory"):
        open_data(tmp_path / "huge")

    (store("nested") / ".zattrs").write_text("[" * 100_000)
    with pytest.raises(InputError, match="cannot be read as zarr"):
        open_data(tmp_path / "nested")


def test_a_small_file_that_declares_a_huge_variable_is_refused(tmp_path):
    field().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with h5py.File(tmp_path / "a.nc", "r+") as file:
        file.create_dataset("more", (2**50,), "f4", chunks=(1024,))
    with pytest.raises(InputError, match="larger than the memory"):
        open_data(tmp_path / "a.nc")


def test_damaged_values_are_refused_when_they_are_looked_at(tmp_path):
    field().to_zarr(tmp_path / "a", zarr_format=2, consolidated=False)
    chunk = tmp_path / "a" / "sst" / "0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        open_data(tmp_path / "a")
