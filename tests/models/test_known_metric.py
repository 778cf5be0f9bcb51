"""Metrics are over what is known of the truth, and come back with the model."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from tf4dvar.layers import FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet, RScore

metrics = keras.metrics


@pytest.fixture
def data(rng):
    truth = rng.normal(size=(6, 10, 3)).astype("float32") * 4
    observations = np.where(rng.random(truth.shape) < 0.4, truth, np.nan).astype("float32")
    truth[rng.random(truth.shape) < 0.3] = np.nan
    truth[2] = np.nan
    return observations, truth


def compiled(**kwargs):
    model = FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1), iterations=1))
    model.compile("sgd", run_eagerly=True, **kwargs)
    model.build((None, None, 3))
    return model


def test_unknown_truth_is_left_out(data):
    given = ["mae", metrics.MeanSquaredError(), keras.losses.mean_squared_error, RScore()]
    model = compiled(metrics=[*given, metrics.RootMeanSquaredError(name="rmse")])
    scores = model.evaluate(*data, batch_size=4, verbose=0, return_dict=True)
    error = model.predict(data[0], verbose=0) - data[1]
    square = np.nanmean(error**2)
    np.testing.assert_allclose(scores["mae"], np.nanmean(np.abs(error)), rtol=1e-5)
    np.testing.assert_allclose(scores["rmse"], np.sqrt(square), rtol=1e-5)
    for name in ("mean_squared_error", "mean_squared_error_1", "r_score"):
        np.testing.assert_allclose(scores[name], square, rtol=1e-5)


def test_weighted_metrics_take_the_sample_weights(data, rng):
    weights = rng.uniform(0, 2, (6, 10)).astype("float32")
    model = compiled(metrics=["mae"], weighted_metrics=["mse"])
    scores = model.evaluate(*data, sample_weight=weights, batch_size=4, verbose=0, return_dict=True)
    error = model.predict(data[0], verbose=0) - data[1]
    known = np.isfinite(error) * weights[..., None]
    expected = np.nansum(error**2 * known) / known.sum()
    np.testing.assert_allclose(scores["mse"], expected, rtol=1e-5)
    np.testing.assert_allclose(scores["mae"], np.nanmean(np.abs(error)), rtol=1e-5)


def test_a_metric_of_the_users_own_is_left_as_it_is(data):
    def first(truth, state):
        assert truth.shape[-1] == 3
        return keras.ops.abs(truth[..., 0] - state[..., 0])

    model = compiled(metrics=[first])
    truth = np.nan_to_num(data[1])
    scores = model.evaluate(data[0], truth, batch_size=6, verbose=0, return_dict=True)
    error = model.predict(data[0], verbose=0) - truth
    np.testing.assert_allclose(scores["first"], np.abs(error[..., 0]).mean(), rtol=1e-5)


def test_they_come_back_with_the_model(data, tmp_path):
    model = compiled(metrics=["mae", RScore()])
    model.evaluate(*data, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    scores = [m.evaluate(*data, verbose=0, return_dict=True) for m in (model, loaded)]
    assert scores[0] == scores[1]
    assert set(scores[0]) == {"loss", "mae", "r_score"}


@pytest.mark.long
def test_a_model_that_was_trained_is_loaded_where_nothing_else_is_imported(tmp_path):
    compiled(metrics=[RScore()]).save(tmp_path / "model.keras")
    code = "import sys; import tf4dvar; print(tf4dvar.load_model(sys.argv[1]).name)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.keras")], check=True)
