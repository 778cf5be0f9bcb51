import csv
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.cli.test_app import fail, succeed
from tf4dvar.data import read_windows, states_dataset, write_dataset
from tf4dvar.evaluation.comparison import scores_of
from tf4dvar.experiments import true_flow
from tf4dvar.layers import GradientSolver, LSTMCell
from tf4dvar.models import FourDVarNet


@pytest.fixture(scope="module")
def folder(tmp_path_factory, windows):
    """A folder with six windows and an untrained model."""
    folder = tmp_path_factory.mktemp("comparison")
    write_dataset(windows.isel(window=slice(6)), folder / "windows.nc")
    model = FourDVarNet(true_flow("l63"), GradientSolver(LSTMCell(), iterations=2))
    model.adapt(windows["observations"].values)
    model.save(folder / "model.keras")
    return folder


@pytest.mark.long
def test_the_report_compares_methods_chains_and_models(folder, tmp_path):
    data, out = ("--data", folder / "windows.nc"), tmp_path / "report"
    hybrid = f"{folder / 'model.keras'}+weak-annealed"
    table = succeed(
        *("compare", *data, "--methods", f"oi,enks+weak-annealed,{hybrid},enks", "--out", out),
        *("--models", folder / "model.keras"),
    )
    names = ["oi", "enks+weak-annealed", hybrid, "enks", str(folder / "model.keras")]
    assert table == (out / "table.md").read_text()
    rows = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == names
    assert table.count("\n") == 2 + len(names)
    scores = json.loads((out / "report.json").read_text())
    assert list(scores) == names
    evaluated = json.loads(succeed("evaluate", folder / "model.keras", *data, "--json"))
    for score in ("r_score", "fourdvar_score", "ode_score"):
        np.testing.assert_allclose(scores[names[-1]][score], evaluated[score], rtol=1e-5)
    assert scores["enks"]["calibration"]["spread_over_error"] > 0
    assert scores["oi"]["calibration"] is None
    assert scores["enks+weak-annealed"]["r_score"] < scores["enks"]["r_score"]
    for figure in ("windows.png", "error_by_time.png", "calibration.png"):
        assert (out / figure).read_bytes().startswith(b"\x89PNG")
    assert "--force" in fail("compare", *data, "--methods", "oi", "--out", out)


@pytest.mark.long
@pytest.mark.parametrize("labels", [None, {"component": [("a", 1), ("b", 2), ("b", 3)]}])
def test_windows_without_labels_or_with_those_of_two_parts_are_compared(folder, tmp_path, labels):
    windows = read_windows(folder / "windows.nc").drop_vars("component")
    if labels:
        index = pd.MultiIndex.from_tuples(labels["component"], names=["lat", "lon"])
        windows = windows.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "component"))
        del windows.attrs["system"]  # whose components have other names
    write_dataset(windows, tmp_path / "windows.nc")
    data, model = ("--data", tmp_path / "windows.nc"), folder / "model.keras"
    succeed("compare", *data, "--models", model, "--out", tmp_path / "report")
    scores = json.loads((tmp_path / "report" / "report.json").read_text())[str(model)]
    names = list(map(str, labels["component"])) if labels else ["0", "1", "2"]
    assert list(scores["r_score_by_component"]) == names
    assert (tmp_path / "report" / "windows.png").is_file()
    succeed("reconstruct", model, *data, "--out", tmp_path / "states.nc")
    states = read_windows(tmp_path / "states.nc", "state")
    assert ("component" in states.coords) == bool(labels)
    figure = ("--out", tmp_path / "figure.png")
    succeed("plot", *data, "--states", tmp_path / "states.nc", *figure)
    succeed("evaluate", model, *data)


def test_scores_of_a_known_error(windows):
    dataset = windows.isel(window=slice(0, 8))
    error = np.zeros(dataset["truth"].shape)
    error[:, :20], error[:, -20:] = 1.0, 2.0
    spread = np.full(error.shape, 0.5)
    scores = scores_of(dataset["truth"].values + error, spread, dataset)
    assert scores["r_score_by_part"] == pytest.approx({"start": 1.0, "middle": 0.0, "end": 4.0})
    assert scores["r_score_median"] == pytest.approx(0.5)
    assert scores["calibration"]["within_90_percent"] == pytest.approx(0.8)
    assert scores["calibration"]["spread_over_error"] == pytest.approx(np.sqrt(0.5))


@pytest.mark.long
def test_assimilate_reports_convergence_and_takes_a_first_guess(folder, tmp_path):
    data, first = ("--data", folder / "windows.nc"), tmp_path / "enks.nc"
    values = json.loads(
        succeed("assimilate", "enks", *data, "--members", 50, "--out", first, "--json")
    )
    assert values["converged"] == values["windows"] == 6
    states = read_windows(first, "state")
    assert states["spread"].shape == states["state"].shape
    assert states["converged"].values.tolist() == [1] * 6
    second = (
        "assimilate",
        "weak-annealed",
        *data,
        "--first-guess",
        first,
        "--out",
        tmp_path / "b.nc",
    )
    assert json.loads(succeed(*second, "--json"))["converged"] == 6
    hybrid = ("assimilate", "weak-annealed", *data, "--first-guess", folder / "model.keras")
    values = json.loads(succeed(*hybrid, "--steps", 8, "--out", tmp_path / "d.nc", "--json"))
    assert 4 <= values["mean_iterations"] <= 8
    assert "4 stages" in fail(*hybrid, "--steps", 3, "--out", tmp_path / "e.nc")
    named = ("assimilate", "weak-annealed", *data, "--first-guess", "l63-c", "--steps", 8, "--json")
    assert json.loads(succeed(*named, "--out", tmp_path / "f.nc"))["windows"] == 6
    values = json.loads(
        succeed("assimilate", "weak-annealed", *data, "--out", tmp_path / "c.nc", "--json")
    )
    assert values["mean_iterations"] > 0


def test_limit_gives_mean_and_spread(folder, tmp_path):
    data, out = ("--data", folder / "windows.nc"), tmp_path / "limit.nc"
    values = json.loads(
        succeed("limit", "l63", *data, "--samples", 400_000, "--draws", 9, "--out", out, "--json")
    )
    assert 0.1 < values["r_score"] < 3.0
    assert 0.5 < values["calibration"]["within_90_percent"] <= 1
    assert values["calibration_of_samples"]["crps"] < np.sqrt(values["r_score"])
    assert 0.1 < values["posterior_variance"] < 3.0
    limit = read_windows(out, "state")
    assert limit["effective_sample_size"].shape == (6,)
    assert limit["sample"].sizes["sample"] == 9
    np.testing.assert_allclose(limit["sample"].mean("sample"), limit["state"], atol=8.0)
    assert "l63" in fail("limit", "l96", *data)


def test_mistakes_are_answered_in_one_line(folder, tmp_path):
    data, out = ("--data", folder / "windows.nc"), ("--out", tmp_path / "out")
    assert "kalman" in fail("compare", *data, "--methods", "oi,kalman", *out)
    assert "no model" in fail("compare", *data, "--models", tmp_path, *out)
    assert "no methods" in fail("compare", *data, *out)
    blind = tmp_path / "blind.nc"
    write_dataset(read_windows(folder / "windows.nc").drop_vars("truth"), blind)
    assert "truth" in fail("compare", "--data", blind, "--methods", "oi", *out)
    windows = read_windows(folder / "windows.nc")
    silent = tmp_path / "silent.nc"
    del windows.attrs["noise_variance"]
    write_dataset(windows, silent)
    assert "noise_variance" in fail("assimilate", "strong", "--data", silent, *out)
    short = tmp_path / "short.nc"
    write_dataset(states_dataset(windows, windows["truth"].values).isel(time=slice(50)), short)
    assert "(6, 50, 3)" in fail("assimilate", "weak-annealed", *data, "--first-guess", short, *out)
    assert "positive" in fail("assimilate", "weak-gauss-newton", *data, "--prior-weight", 0, *out)
    assert not (tmp_path / "out").exists()
