"""The commands on files of maps."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

from tests.cli.test_app import fail, succeed
from tf4dvar.classical import setting
from tf4dvar.classical.fields import FIELD_METHODS, FieldAnalysis, FieldMethod
from tf4dvar.data import write_dataset
from tf4dvar.data.fields import simulate_fields
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.instruments import PLANS

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As the current one: maps with their truth, the same without, and with land."""
    folder = tmp_path_factory.mktemp("fields")
    system = QuasiGeostrophic(points=16)
    maps = simulate_fields(system, PLANS["clouds"], days=28, members=2, spin_up=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_dataset(maps, "maps.nc")
        one = maps.isel(member=0)
        one["truth"].rename("ssh").to_netcdf("truth.nc", engine="h5netcdf")
        one = one.drop_vars("truth").rename(observations="ssh", noise_variance="ssh_variance")
        sea = np.ones((16, 16), "int8")
        sea[:, :5] = 0
        one["mask"] = (("y", "x"), sea)
        one.to_netcdf("sea.nc", engine="h5netcdf")
        yield folder


@pytest.fixture(scope="module", autouse=True)
def zero():
    """A method that says 0 and is sure of it by 1."""

    @dataclass(frozen=True)
    class Zero(FieldMethod):
        """Nothing at all."""

        name = "zero"
        value: float = setting(0.0, "The value.")

        def solve(self, problem, progress):
            shape = problem.observations.shape
            return FieldAnalysis(np.full(shape, self.value), np.ones(shape), {"value": self.value})

    yield Zero
    del FIELD_METHODS["zero"]


def test_methods_are_compared_by_the_scores_of_maps(folder):
    command = ("compare", "--data", "maps.nc", "--methods", "zero", "--out", "report")
    told = succeed(*command, "--report", "--json")
    scores = json.loads(told)["zero"]
    truth = xr.load_dataset("maps.nc")["truth"].values
    np.testing.assert_allclose(scores["mu"], 0, atol=1e-12)
    np.testing.assert_allclose(scores["rmse"], np.sqrt(np.mean(truth.astype("f8") ** 2)), rtol=1e-6)
    assert len(scores["rmse_by_day"]) == 28
    distances = [each["distance"] for each in scores["rmse_by_distance"]]
    assert distances == sorted(distances)
    assert scores["calibration"]["within_90_percent"] == 1
    assert scores["settings"] == {"value": 0.0}
    written = {path.name for path in (folder / "report").iterdir()}
    assert {"table.md", "table.csv", "report.json", "report.html"} <= written
    assert {"maps.png", "daily_scores.png", "spectral_score.png"} <= written
    assert "zero: value" in (folder / "report" / "report.html").read_text()


def test_a_truth_beside_the_file_is_the_truth_at_sea(folder):
    data = ("--data", "sea.nc", "--mask", "mask", "--error", "ssh_variance")
    compare = ("compare", *data, "--methods", "zero", "--out")
    told = succeed(*compare, "sea", "--truth", "truth.nc", "--json")
    scores = json.loads(told)["zero"]
    truth = xr.load_dataset("truth.nc")["ssh"].values[..., 5:].astype("f8")
    np.testing.assert_allclose(scores["rmse"], np.sqrt(np.mean(truth**2)), rtol=1e-6)
    assert scores["lambda_x"] is None
    assert "no variable `truth`" in fail(*compare, "none")
    assert "2 members; expected 1" in fail(*compare, "none", "--truth", "maps.nc")


def test_what_is_of_no_use_is_refused(folder):
    compare = ("compare", "--data", "maps.nc", "--out", "none")
    assert "--window; maps.nc is of maps" in fail(*compare, "--methods", "zero", "--window", 8)
    assert "known methods of maps: " in fail(*compare, "--methods", "enks")
    assert "no methods and no models" in fail(*compare)
    assert "is of maps; expected one of the methods" in fail(
        "assimilate", "strong", "--data", "maps.nc", "--out", "none.nc"
    )


def test_a_model_of_maps_is_scored_and_compared(folder):
    train = ("train", "--data", "sea.nc", "--variables", "ssh", "--mask", "mask", "--window", 4)
    succeed(*train, "--epochs", 1, "--out", "run")
    data = ("--data", "sea.nc", "--mask", "mask", "--truth", "truth.nc", "--json")
    scores = json.loads(succeed("evaluate", "run", *data))
    assert {"mu", "sigma", "lambda_x", "lambda_t", "rmse"} <= set(scores)
    succeed("reconstruct", "run", *data[:4], "--out", "filled.nc")
    filled, truth = (xr.load_dataset(f"{name}.nc")["ssh"] for name in ("filled", "truth"))
    error = filled - truth
    assert error.isnull().any(("time", "y")).sum() == 5
    np.testing.assert_allclose(scores["rmse"], np.sqrt((error.astype("f8") ** 2).mean()), rtol=1e-5)
    compared = json.loads(succeed("compare", *data, "--models", "run", "--out", "models"))
    assert compared["run"]["rmse"] == scores["rmse"]
