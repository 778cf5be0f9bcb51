import json

import numpy as np
import pytest
import xarray as xr

from tests.cli.test_app import fail, succeed
from tf4dvar import open_data
from tf4dvar.data import Series
from tf4dvar.data.fields import FIELDS, simulate_fields
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.instruments import PLANS


def test_two_plans_see_the_same_truth_under_one_seed():
    system = QuasiGeostrophic(points=16)
    simulated = [
        simulate_fields(system, PLANS[plan], 4, members=2, seed=seed, spin_up=3)
        for plan, seed in (("nadirs", 1), ("clouds", 1), ("nadirs", 2), ("nadirs", 1))
    ]
    assert simulated[0].identical(simulated[3])
    assert simulated[0]["truth"].equals(simulated[1]["truth"])
    assert not simulated[0]["truth"].equals(simulated[2]["truth"])
    first = simulated[0]
    assert not np.allclose(first["truth"][0], first["truth"][1])
    observed = first["observations"].notnull()
    assert observed.equals(first["noise_variance"].notnull())
    assert 0 < float(observed.mean()) < 0.3


@pytest.mark.parametrize("name", FIELDS)
def test_they_are_what_the_package_reads(tmp_path, name):
    data = simulate_fields(FIELDS[name](points=16), PLANS["clouds"], 30, spin_up=2)
    data.isel(member=0).to_netcdf(tmp_path / "maps.nc", engine="h5netcdf")
    series = Series.of(open_data(tmp_path / "maps.nc", ["observations"]))
    assert series.layout.dims == ("time", "y", "x", "component")
    assert series.observations.shape == (30, 16, 16, 1)
    units = {"qg": "m", "qg-tracer": "degC"}
    assert series.observations["units"].values.tolist() == [units[name]]
    with xr.open_dataset(tmp_path / "maps.nc") as read:
        assert read["x"].attrs["units"] == "km"
        assert read["truth"].attrs["standard_name"].startswith("sea_surface")


@pytest.mark.long
def test_the_command_writes_them_and_no_option_is_ignored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(FIELDS, "qg", lambda: QuasiGeostrophic(points=8))
    command = ("simulate", "qg", "--days", 3, "--members", 2)
    told = json.loads(succeed(*command, "--plan", "swath", "--seed", 7, "--out", "qg.nc", "--json"))
    written = xr.load_dataset("qg.nc")
    assert written["truth"].shape == (2, 3, 8, 8)
    assert told == {
        "out": "qg.nc",
        "maps": 6,
        "observations": int(written["observations"].notnull().sum()),
    }
    assert "Received --steps, --every; expected none of these with maps of qg" in fail(
        *command, "--steps", 5, "--every", 2, "--out", "no.nc"
    )
    assert "Received the plan 'radar'; expected nadirs, swath, clouds" in fail(
        *command, "--plan", "radar", "--out", "no.nc"
    )
    assert "Received --days, --plan; expected these with maps, of qg or qg-tracer" in fail(
        "simulate", "l63", "--days", 5, "--plan", "clouds", "--out", "no.nc"
    )
