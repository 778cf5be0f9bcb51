"""The commands on a table and its true states."""

import json

import numpy as np
import pytest
import xarray as xr

from tests.cli.test_app import fail, succeed
from tf4dvar.data import plan_of, read_windows, simulate_dataset, write_dataset
from tf4dvar.systems import Lorenz63

pytestmark = pytest.mark.long

ROWS = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As the current one: a table with a positive variable, its truth, a model, and windows."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    hours = np.arange(ROWS)
    truth = xr.Dataset(
        {
            "t": ("time", 15 + 8 * np.sin(2 * np.pi * hours / 24), {"units": "degC"}),
            "chl": ("time", np.exp(np.cos(2 * np.pi * hours / 24)), {"units": "mg m-3"}),
        },
        {"time": np.datetime64("2026-01-01") + hours * np.timedelta64(1, "h")},
        {"title": "a station"},
    )
    table = truth.where(xr.DataArray(rng.random(ROWS) < 0.6, dims="time"))
    table = table.drop_isel(time=[50, 51, 52])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        truth.to_netcdf("truth.nc", engine="h5netcdf")
        table.to_netcdf("table.nc", engine="h5netcdf")
        write_dataset(simulate_dataset(Lorenz63(), plan_of(Lorenz63()), 3, 40), "windows.nc")
        train = ("train", "--data", "table.nc", "--transform", "chl=log10", "--out", "run")
        told = succeed(*train, "--window", 24, "--overlap", 6, "--epochs", 2, "--json")
        assert set(json.loads(told)["rmse chl"]) == {"model", "linear_interpolation"}
        yield folder


def test_a_table_comes_out_as_it_went_in(folder):
    succeed("reconstruct", "run", "--data", "table.nc", "--out", "filled.nc")
    table, filled = xr.load_dataset("table.nc"), xr.load_dataset("filled.nc")
    assert not filled.to_array().isnull().any()
    assert float(filled["chl"].min()) > 0
    xr.testing.assert_identical(filled.drop_vars(table.data_vars), table.drop_vars(table.data_vars))
    assert filled["chl"].attrs == table["chl"].attrs
    noise = ("--noise-variance", 0.1)
    succeed("assimilate", "enks", "--data", "table.nc", *noise, "--members", 20, "--out", "enks.nc")
    assert set(xr.load_dataset("enks.nc")) == {"t", "chl", "t_error", "chl_error"}


def test_it_is_scored_against_a_truth_beside_it_and_drawn(folder):
    data = ("--data", "table.nc", "--truth", "truth.nc")
    scores = json.loads(succeed("evaluate", "run", *data, "--json"))
    assert scores["transforms"] == {"chl": "log10"}
    assert "chl log10" in succeed("evaluate", "run", *data)
    assert set(scores["r_score_by_component"]) == {"t", "chl"}
    assert scores["r_score_by_component"]["chl"] < 1
    methods = ("--methods", "oi", "--noise-variance", 0.1, "--window", 24)
    table = json.loads(succeed("compare", *data, *methods, "--out", "report", "--json"))
    assert table["oi"]["r_score"] < np.var(xr.load_dataset("truth.nc")["t"])
    succeed("reconstruct", "run", "--data", "table.nc", "--out", "drawn.nc")
    succeed("plot", *data, "--states", "drawn.nc", "--window", 24, "--out", "figure.png")
    assert (folder / "figure.png").stat().st_size > 1e4


def test_windows_are_trained_on_too(folder):
    flow = ("--prior", "flow", "--system", "l63")
    train = ("train", "--data", "windows.nc", *flow, "--epochs", 1, "--iterations", 2, "--json")
    errors = json.loads(succeed(*train, "--out", "of-windows"))["rmse x"]
    assert errors["model"] < errors["linear_interpolation"] * 3
    read_windows("windows.nc").isel(component=[1, 0, 2]).to_netcdf("turned.nc", engine="h5netcdf")
    train = (*train[:2], "turned.nc", *train[3:], "--out", "of-turned")
    assert json.loads(succeed(*train))["rmse x"] == pytest.approx(errors)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("train l63-sup-rk4-conv --window 30 --mask m", "Received --window, --mask; the "),
        ("train l63-sup-rk4-conv --truth truth.nc --dims x=y", "Received --truth, --dims"),
        ("train --data table.nc --windows 3 --workers 2", "Received --windows, --workers"),
        ("train --data windows.nc --window 30", "Received --window; windows.nc is a file of"),
        ("train --data windows.nc --transform x=log10", "Received --transform; windows.nc"),
        ("reconstruct run --data windows.nc --mask m", "Received --mask; windows.nc is a file of"),
        ("reconstruct run --data *.nc --variables t --out folder", "Received --variables; the"),
        ("evaluate run --data windows.nc --truth truth.nc", "Received --truth; windows.nc is a"),
        ("assimilate oi --data windows.nc --window 20", "Received --window; windows.nc is a file"),
        ("compare --data windows.nc --methods oi --time-step 1h", "Received --time-step; windows"),
        ("plot --data windows.nc --states oi.nc --window 40", "Received --window; windows.nc"),
        ("limit l63 --data windows.nc --quality q>=1", "Received --quality; windows.nc is a"),
    ],
)
def test_no_option_is_ignored(folder, command, said):
    out = () if "--out" in command or "evaluate" in command else ("--out", "unwritten.nc")
    assert said in fail(*command.split(), *out)
    assert not list(folder.glob("unwritten*"))
