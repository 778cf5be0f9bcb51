"""Truth that is not known everywhere: scores over what is known, and JSON of it."""

import json

import numpy as np
import pytest

from tests.cli.test_app import succeed
from tf4dvar.data import read_windows, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.evaluation.comparison import compare_model, scores_of, write_report
from tf4dvar.evaluation.metrics import ode_score
from tf4dvar.evaluation.scores import evaluate, score
from tf4dvar.experiments import true_flow
from tf4dvar.layers import GradientSolver, LSTMCell
from tf4dvar.models import FourDVarNet

UNKNOWN = {
    "entries": lambda truth, rng: rng.random(truth.shape) < 0.3,
    "a window": lambda truth, rng: np.arange(len(truth))[:, None, None] == 3,
    "a component": lambda truth, rng: np.arange(3) == 1,
    "times": lambda truth, rng: np.arange(truth.shape[1])[:, None] < 30,
    "all but an entry": lambda truth, rng: np.arange(truth.size).reshape(truth.shape) != 700,
}


@pytest.fixture(params=UNKNOWN)
def partly_known(request, windows, rng):
    dataset = windows.isel(window=slice(20))
    unknown = UNKNOWN[request.param](dataset["truth"].values, rng)
    return dataset.assign(truth=dataset["truth"].where(~unknown)), request.param


@pytest.fixture(scope="module")
def model(windows):
    model = FourDVarNet(true_flow("l63"), GradientSolver(LSTMCell(units=4), iterations=2))
    model.adapt(windows["observations"].values)
    return model


def test_scores_are_those_of_what_is_known(partly_known, windows, rng):
    dataset, name = partly_known
    truth = dataset["truth"].values
    error = rng.normal(size=truth.shape)
    states = windows["truth"].values[:20] + error
    known = ~np.isnan(truth)
    scores = scores_of(states, np.ones(truth.shape), dataset)
    by_window = [np.square(e[k]).mean() for e, k in zip(error, known, strict=True) if k.any()]
    assert scores["r_score"] == pytest.approx(np.mean(by_window))
    assert scores["r_score_median"] == pytest.approx(np.median(by_window))
    for place, value in enumerate(scores["r_score_by_component"].values()):
        of = known[..., place]
        expected = np.square(error[..., place][of]).mean() if of.any() else np.nan
        assert value == pytest.approx(expected, nan_ok=True)
    calibration = scores["calibration"]
    inside = np.abs(error[known]) <= 1.645
    assert calibration["within_90_percent"] == pytest.approx(inside.mean(), abs=1e-3)
    if name == "times":
        assert np.isnan(scores["r_score_by_part"]["start"])
        assert np.isfinite(scores["r_score_by_part"]["middle"])


def test_a_state_that_is_not_finite_still_shows(windows):
    states = windows["truth"].values.copy()
    states[0, 0, 0] = np.nan
    truth = windows["truth"].where(np.arange(40)[:, None, None] != 1)
    assert np.isnan(score(states, windows.assign(truth=truth))["r_score"])


@pytest.mark.long
def test_a_model_is_scored_and_drawn_and_its_json_has_no_nan(partly_known, model, tmp_path):
    dataset, name = partly_known
    scores = evaluate(model, dataset)
    if name in ("entries", "a window", "times"):
        assert 0 <= scores["ode_score"] < 1e-6  # the prior is the true flow
    else:
        assert np.isnan(scores["ode_score"])
    result = compare_model(model, dataset)
    with_spread = result._replace(spread=np.abs(result.states) + 1)
    with_spread.scores["calibration"] = {"spread_over_error": np.nan, "within_90_percent": 1.0}
    write_report({"model": with_spread}, dataset, tmp_path)

    def refused(text):
        raise AssertionError(text)

    json.loads((tmp_path / "report.json").read_text(), parse_constant=refused)
    assert "nan" not in (tmp_path / "table.md").read_text()


def test_the_command_prints_null(windows, model, tmp_path):
    dataset = windows.isel(window=slice(6))
    hidden = dataset["truth"].where(dataset["component"] != "y")
    write_dataset(dataset.assign(truth=hidden), tmp_path / "windows.nc")
    model.save(tmp_path / "model.keras")
    command = ("evaluate", tmp_path / "model.keras", "--data", tmp_path / "windows.nc")
    text = succeed(*command, "--json")
    assert "NaN" not in text
    scores = json.loads(text)
    assert scores["r_score"] > 0
    assert scores["r_score_by_component"]["y"] is scores["ode_score"] is None
    assert "nan" not in succeed(*command)
    assert np.isnan(read_windows(tmp_path / "windows.nc")["truth"][..., 1]).all()


def test_a_truth_of_nothing_is_refused(windows):
    nothing = windows.assign(truth=windows["truth"].where(False))
    with pytest.raises(InputError, match="NaN throughout: there is nothing to score against"):
        score(windows["truth"].values, nothing)


def test_a_prediction_that_is_nan_by_itself_is_no_unknown_one(rng):
    truth = rng.normal(size=(2, 5, 3))
    prediction = truth + 1.0
    prediction[1, 2] = np.nan
    np.testing.assert_allclose(ode_score(truth, prediction), [1.0, np.nan])
    truth[1, 1, 0] = np.nan
    np.testing.assert_allclose(ode_score(truth, prediction), [1.0, 1.0])
