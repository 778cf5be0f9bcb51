"""States after the window, beside the system's own steps."""

import keras
import numpy as np
import pytest
import xarray as xr

from tests.cli.test_app import fail, succeed
from tf4dvar.data import open_windows, simulate_dataset, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    FixedStepCell,
    GaussianPosterior,
    GradientSolver,
)
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import Lorenz63
from tf4dvar.systems.observation_plan import ObservationPlan

PLAN = ObservationPlan((0, 1, 2), every=2, noise_variance=0.1)


@pytest.fixture(scope="module")
def data():
    return simulate_dataset(Lorenz63(), PLAN, windows=3, steps=60, seed=4)


def model_of(prior, data, **settings):
    network = AttentionFirstGuess(4, 16, 1, 2, background=True, outputs=2)
    model = FourDVarNet(
        prior,
        GradientSolver(FixedStepCell(0.01), iterations=1),
        uncertainty=GaussianPosterior(network),
        **settings,
    )
    model.adapt(data["observations"].values, data["truth"].values)
    return model


@pytest.fixture(scope="module")
def known(data):
    return model_of(true_flow("l63"), data)


def test_a_flow_steps_on_from_the_last_state(known, data):
    observations = data["observations"].values.astype("float32")
    last = known.predict(observations, verbose=0)[:, -1]
    state, steps = last.astype("float64"), []
    for _ in range(20):
        state = Lorenz63().step(state)
        steps.append(state)
    found = known.forecast(observations, 20)
    assert found.std is None
    np.testing.assert_allclose(found.last, last, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.mean, np.stack(steps, axis=1), rtol=1e-3, atol=1e-3)
    # What is labelled is the same.
    labelled = known.forecast(data, 20)
    np.testing.assert_allclose(labelled.mean, found.mean, rtol=1e-5, atol=1e-4)


def test_samples_go_on_each_by_itself(known, data):
    given = data["observations"].values[:, :20].astype("float32")
    found = known.forecast(given, 5, samples=6, seed=3)
    last = known.sample(given, 6, seed=3)[:, :, -1].astype("float64")
    for _ in range(5):
        last = Lorenz63().step(last)
    np.testing.assert_allclose(found.mean[:, -1], last.mean(axis=0), rtol=1e-3, atol=1e-3)
    deviation = last.std(axis=0, ddof=1)
    np.testing.assert_allclose(found.std[:, -1], deviation, rtol=1e-2, atol=1e-3)


def test_without_a_flow_it_is_a_longer_window(data):
    keras.utils.set_random_seed(0)
    model = model_of(GENN(4), data)
    given = data["observations"].values.astype("float32")
    longer = np.concatenate([given, np.full_like(given[:, :7], np.nan)], axis=1)
    whole = model.predict(longer, verbose=0)
    found = model.forecast(given, 7)
    np.testing.assert_allclose(found.mean, whole[:, -7:], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.last, whole[:, -8], rtol=1e-5, atol=1e-5)
    assert model.forecast(given, 7, samples=3).std.shape == (3, 7, 3)


def test_what_it_cannot_forecast_is_refused(known, data):
    observations = data["observations"].values
    for steps, samples in ((0, 0), (3, -1)):
        with pytest.raises(InputError, match="expected a step or more"):
            known.forecast(observations, steps, samples)
    plain = FourDVarNet(GENN(4), GradientSolver(FixedStepCell(0.01), iterations=1))
    plain.adapt(observations)
    with pytest.raises(InputError, match="does not say how sure it is"):
        plain.forecast(observations, 3, samples=2)


@pytest.mark.long
def test_its_command_scores_what_the_file_knows(known, data, tmp_path):
    known.save(tmp_path / "model.keras")
    write_dataset(data, tmp_path / "windows.nc")
    told = ("forecast", tmp_path / "model.keras", "--data", tmp_path / "windows.nc")
    out = ("--out", tmp_path / "after.nc", "--force")
    page = ("--samples", "4", "--figure", tmp_path / "errors.png")
    printed = succeed(*told, "--from", "40", "--steps", "20", *page, *out)
    assert all(word in printed for word in ("step 16", "persistence", "spread"))
    assert (tmp_path / "errors.png").stat().st_size > 1000
    with open_windows(tmp_path / "after.nc", "state") as found:
        xr.testing.assert_equal(found["time"], data["time"][40:])
        assert found["state_std"].shape == (3, 20, 3)
        first = np.abs(found["state"][:, 0] - data["truth"][:, 40]).max()
    assert first < 5
    # After the end of the file.
    assert "persistence" not in succeed(*told, "--steps", "5", *out)
    with open_windows(tmp_path / "after.nc", "state") as found:
        np.testing.assert_allclose(found["time"], 0.6 + 0.01 * np.arange(5))
    assert "has 60 times" in fail(*told, "--from", "61", "--steps", "5", *out)
    page = ("--figure", tmp_path / "none.png")
    assert "needs them" in fail(*told, "--steps", "5", *page, *out)
