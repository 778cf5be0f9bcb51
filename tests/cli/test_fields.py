"""The commands on files of maps."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

from tests.cli.test_app import fail, invoke, succeed
from tf4dvar.classical import setting
from tf4dvar.classical.fields import (
    FIELD_METHODS,
    FieldAnalysis,
    FieldMethod,
    FieldProblem,
    covariance_fit,
)
from tf4dvar.cli.assimilate import command_of
from tf4dvar.data import write_dataset
from tf4dvar.data.fields import simulate_fields
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.instruments import PLANS

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def few_steps(quick_fit, monkeypatch):
    """Of the search for a kernel's parameters, which nothing here looks at."""
    monkeypatch.setattr(covariance_fit, "STEPS", 1)


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


@pytest.fixture(scope="module", autouse=True)
def guess():
    """A method that leaves its first guess as it is."""

    @dataclass(frozen=True)
    class Guess(FieldMethod):
        """The first guess."""

        name = "guess"
        takes_first_guess = True

        def solve(self, problem, progress):
            return FieldAnalysis(problem.first_guess)

    yield
    del FIELD_METHODS["guess"]


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
    several = fail(*compare, "none", "--truth", "maps.nc")
    assert "true maps of shape (2, 28, 16, 16); expected (1, 28, 16, 16)" in several


def test_what_is_of_no_use_is_refused(folder):
    compare = ("compare", "--data", "maps.nc", "--out", "none")
    assert "--window; maps.nc is of maps" in fail(*compare, "--methods", "zero", "--window", 8)
    assert "known methods of maps: " in fail(*compare, "--methods", "strong")
    assert "no methods and no models" in fail(*compare)
    assert "is of maps; expected one of the methods" in fail(
        "assimilate", "strong", "--data", "maps.nc", "--out", "none.nc"
    )


def test_a_method_of_series_and_of_maps_has_the_settings_of_each(folder):
    enks = ("assimilate", "enks", "--data", "maps.nc")
    kernel = ("--length", 150, "--days", 10, "--variance", 0.01, "--noise-factor", 1)
    succeed(*enks, *kernel, "--out", "default.nc")
    succeed(*enks, *kernel, "--members", 100, "--inflation", 1, "--out", "same.nc")
    default, same = (xr.load_dataset(f"{name}.nc") for name in ("default", "same"))
    xr.testing.assert_identical(default, same)
    assert (default["observations_error"] > 0).all()
    given = ("--model-error-variance", 1, "--out", "none.nc")
    assert "--model-error-variance; maps.nc has no use" in fail(*enks, *given)
    compare = ("compare", "--data", "maps.nc", "--methods", "enks", "--out", "smoothed", "--json")
    scores = json.loads(succeed(*compare))["enks"]
    assert scores["calibration"]["scaled_error"] > 0
    assert scores["settings"]["length"] > 0


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
    poisoned = xr.load_dataset("sea.nc")
    poisoned.where(poisoned["mask"] == 1, 1e30).assign(mask=poisoned["mask"]).to_netcdf("bad.nc")
    succeed("reconstruct", "run", "--data", "bad.nc", *data[2:4], "--out", "again.nc")
    xr.testing.assert_identical(xr.load_dataset("again.nc")["ssh"], filled)
    alone = typer.Typer()
    alone.command()(command_of("guess"))
    for first_guess in ("run", "filled.nc"):
        given = (*data[:4], "--error", "ssh_variance", "--first-guess", first_guess, "--force")
        result = CliRunner().invoke(alone, [*given, "--out", "guessed.nc"])
        assert result.exit_code == 0, result.output
        np.testing.assert_allclose(xr.load_dataset("guessed.nc")["ssh"], filled, rtol=1e-5)
    refused = fail("compare", *data, "--models", "run", "--noise-variance", 1, "--out", "none")
    assert "--noise-variance; models take none of these" in refused


def test_a_model_of_members_is_trained_reconstructs_and_is_scored(folder):
    succeed("train", "--data", "maps.nc", "--window", 4, "--epochs", 1, "--out", "members")
    succeed("reconstruct", "members", "--data", "maps.nc", "--out", "all.nc", "--report")
    filled, data = xr.load_dataset("all.nc"), xr.load_dataset("maps.nc")
    assert filled["observations"].dims == data["observations"].dims
    xr.testing.assert_identical(filled["member"], data["member"])
    data.isel(member=1, drop=True).drop_vars("truth").to_netcdf("second.nc", engine="h5netcdf")
    succeed("reconstruct", "members", "--data", "second.nc", "--out", "one.nc")
    alone = xr.load_dataset("one.nc")["observations"]
    np.testing.assert_array_equal(filled["observations"].isel(member=1), alone)
    scores = json.loads(succeed("evaluate", "members", "--data", "maps.nc", "--json"))
    error = filled["observations"].astype("f8") - data["truth"]
    np.testing.assert_allclose(scores["rmse"], np.sqrt((error**2).mean()), rtol=1e-5)


def test_states_are_for_methods_that_learn_from_them(folder):
    given = ("--data", "maps.nc", "--states", "maps.nc", "--out", "none.nc")
    assert "No such option" in invoke("assimilate", "dineof", *given).output
    kernel = ("--covariance", "matern")
    assert "learns from no states" in fail("assimilate", "oi", *kernel, *given)
    compare = ("compare", *given[:4], "--out", "none", "--methods")
    assert "learn from none as they are by default; those that do: " in fail(
        *compare, "zero,dineof"
    )


def test_a_method_is_asked_before_it_is_given_states(zero):
    grid = Grid(np.arange(4.0), np.arange(4.0))
    maps = np.zeros((1, 3, 4, 4))
    problem = FieldProblem(maps, 0.1, np.arange(3.0), grid, states=maps)
    with pytest.raises(InputError, match=r"zero takes no states; those that do: .*oi"):
        zero().analyse(problem)
    with pytest.raises(InputError, match=r"covariance='matern'.* learns from no states"):
        FIELD_METHODS["oi"]("matern").analyse(problem)
    with pytest.raises(InputError, match=r"layers=2.* learns from no states"):
        FIELD_METHODS["4dvar-qg"](layers=2).analyse(problem)


def test_fill_writes_the_file_with_errors_and_says_how_good_it_is(folder):
    source = xr.load_dataset("sea.nc").assign_attrs(title="A sea")
    source["ssh"] = (source["ssh"] + 1).assign_attrs(source["ssh"].attrs)
    source.to_netcdf("one.nc", engine="h5netcdf")
    command = ("fill", "one.nc", "--variable", "ssh", "--mask", "mask", "--noise-variance", 0.01)
    short = ("--minutes", 0.02)
    files = ("--out", "gaps.nc", "--report", "gaps.html", "--run", "tuned")
    told = json.loads(succeed(*command, *short, *files, "--json"))
    assert told["maps"] == source.sizes["time"]
    assert sum(told["weights"].values()) == pytest.approx(1)
    assert {"kriging", "dineof", "network", "written"} <= set(told)
    assert (folder / "tuned" / "model.keras").is_file()
    assert "rmse" in (folder / "gaps.html").read_text()
    given, filled = source["ssh"], xr.load_dataset("gaps.nc")
    assert filled.attrs == source.attrs
    assert filled["ssh"].attrs == given.attrs
    assert {*filled.data_vars} == {"ssh", "ssh_error"}
    sea = source["mask"].values == 1
    for name in "ssh", "ssh_error":
        assert np.isfinite(filled[name].values[:, sea]).all()
        assert np.isnan(filled[name].values[:, ~sea]).all()
    seen = given.notnull().values & sea
    np.testing.assert_array_equal(filled["ssh"].values[seen], given.values[seen])
    np.testing.assert_allclose(filled["ssh_error"].values[seen], 0.1, rtol=1e-6)
    # By the method at observed points too, and on another scale.
    scale = ("--smooth", "--transform", "log10")
    truth = xr.load_dataset("truth.nc") + 1
    truth.to_netcdf("model.nc", engine="h5netcdf")
    reference = ("--minutes", 0, "--reference", "model.nc", "--json")
    told = json.loads(succeed(*command[:-1], 0.001, *scale, *reference, "--out", "smooth.nc"))
    by_reference = told["kriging, covariance of the reference"]
    assert by_reference["rmse"] < 1.2 * told["kriging"]["rmse"]
    assert not {"dineof", "network"} & set(told)
    smooth = xr.load_dataset("smooth.nc")
    assert (smooth["ssh"].values[:, sea] > 0).all()
    assert (smooth["ssh"].values[seen] != given.values[seen]).all()
    assert smooth["ssh_error"].attrs == {
        "long_name": "standard deviation of the error of log10(ssh)"
    }
    alone = json.loads(succeed(*command, "--minutes", 0, "--out", "alone.nc", "--json"))
    assert alone["weights"] == {"kriging": 1.0}
    assert "dineof" not in alone
    assert alone["kriging"] == alone["written"]
    data = ("--data", *command[1:2], "--variables", "ssh", *command[4:])
    succeed("assimilate", "oi", *data, "--out", "oi.nc")
    kriging = xr.load_dataset("oi.nc")["ssh"]
    xr.testing.assert_equal(xr.load_dataset("alone.nc")["ssh"], given.fillna(kriging).where(sea))
    assert "exists" in fail(*command, "--out", "gaps.nc")
    assert "--resume without --run" in fail(*command, "--out", "none.nc", "--resume")
    for gappy in ("--reference", "one.nc"), ("--covariate", "one.nc#ssh"):
        told = fail(*command, *gappy, "--out", "none.nc")
        assert f"{np.isnan(given.values[:, sea]).sum()} of whose values are missing" in told
    source.assign(other=source["ssh"] * 2).to_netcdf("both.nc", engine="h5netcdf")
    assert "--variable NAME" in fail("fill", "both.nc", "--mask", "mask", "--out", "none.nc")
