"""Archives of windows of fields, in this process and on workers."""

import json

import numpy as np
import pytest
import xarray as xr

from tests.cli.test_app import fail, succeed
from tests.field_models import field_model, write_field_windows
from tf4dvar.classical.fields import covariance_fit, withheld
from tf4dvar.data.fields import simulate_fields
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.instruments import PLANS

pytestmark = pytest.mark.long


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model, and two files of windows of fields, of which one has its axes in another order."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archive").mkdir()
    model = field_model()
    model.save("model.keras")
    write_field_windows("archive/a.nc")
    write_field_windows("archive/b.nc", 3, seed=4)
    with xr.open_dataset("archive/b.nc") as file:
        turned = file.load().transpose("component", "x", "y", "time", "window")
    turned.to_netcdf("archive/b.nc", engine="h5netcdf")
    return model


def test_an_archive_is_its_files_and_its_windows(folder):
    told = succeed(
        "reconstruct", "model.keras", "--data", "archive/*.nc", "--out", "states", "--json"
    )
    assert json.loads(told)["windows"] == 9
    succeed("reconstruct", "model.keras", "--data", "archive/a.nc", "--out", "a.nc")
    alone = xr.load_dataset("a.nc")["state"]
    xr.testing.assert_equal(xr.load_dataset("states/a.nc")["state"], alone)
    for name in "ab":
        given, states = (xr.load_dataset(f"{each}/{name}.nc") for each in ("archive", "states"))
        observations = given["observations"].transpose("window", "time", "y", "x", "component")
        state = states["state"].transpose(*observations.dims)
        expected = folder.predict(observations.values, verbose=0)
        np.testing.assert_allclose(state.values, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_workers_give_the_same(folder, cluster):
    archive = ("--data", "archive/*.nc")
    succeed("reconstruct", "model.keras", *archive, "--out", "one")
    succeed("reconstruct", "model.keras", *archive, "--out", "two", "--workers", 2)
    for name in "ab":
        one, two = (xr.load_dataset(f"{each}/{name}.nc")["state"] for each in ("one", "two"))
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_what_is_of_series_refuses_windows_of_fields(folder):
    source = xr.load_dataset("archive/a.nc").assign_attrs(noise_variance=0.1)
    source["truth"] = source["observations"].fillna(3.0)
    source.to_netcdf("known.nc", engine="h5netcdf")
    scores = json.loads(succeed("evaluate", "model.keras", "--data", "known.nc", "--json"))
    assert scores["r_score"] > 0
    data = ("--data", "known.nc", "--out", "none.nc")
    for command in (
        ("assimilate", "oi"),
        ("compare", "--models", "model.keras"),
        ("plot", "--states", "known.nc"),
    ):
        assert "expected" in fail(*command, *data)
    source["observations"] = source["observations"].isel(y=0, drop=True)
    source.drop_vars("truth").to_netcdf("line.nc", engine="h5netcdf")
    refused = fail("reconstruct", "model.keras", "--data", "line.nc", "--out", "none.nc")
    assert "expected ('window', 'time', 'component')" in refused


@pytest.mark.usefixtures("quick_fit", "cluster")
def test_gaps_are_filled_by_workers_as_by_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(covariance_fit, "STEPS", 1)
    monkeypatch.setattr(withheld, "TIMES", 2)
    maps = simulate_fields(QuasiGeostrophic(points=16), PLANS["clouds"], days=8, spin_up=20)
    maps[["observations"]].isel(member=0).to_netcdf("maps.nc", engine="h5netcdf")
    command = ("fill", "maps.nc", "--minutes", 0, "--noise-variance", 1e-3)
    succeed(*command, "--out", "one.nc")
    succeed(*command, "--out", "two.nc", "--workers", 2)
    xr.testing.assert_identical(xr.load_dataset("one.nc"), xr.load_dataset("two.nc"))
    assert "without --workers" in fail(*command, "--out", "a.nc", "--address", "ray://head:10001")
