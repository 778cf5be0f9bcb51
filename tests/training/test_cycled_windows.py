"""What a learned filter is trained on."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.jobs import epochs_of, interrupted, run
from tf4dvar.experiments import experiment_by_name
from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.layers import (
    AttentionFirstGuess,
    EachTime,
    FilterFirstGuess,
    FixedStepCell,
    GaussianPosterior,
    GradientSolver,
)
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import Lorenz63
from tf4dvar.training.cycled_windows import GROUPS, CycledWindows

BATCH = 160


def small(flow=None):
    told = {"weighted": True, "background": True}
    return FourDVarNet(
        flow or true_flow("l63"),
        GradientSolver(FixedStepCell(0.1), iterations=0),
        FilterFirstGuess(AttentionFirstGuess(1, 16, 1, 2, **told)),
        noise_variance=1.0,
        uncertainty=GaussianPosterior(EachTime(AttentionFirstGuess(1, 8, 1, 2, outputs=2, **told))),
    )


EXPERIMENT = replace(
    experiment_by_name("l63-cycle"), build=small, batch_size=BATCH, steps=30, learning_rate=1e-2
)
OPTIONS = {"windows": 3 * BATCH, "seed": 3}


@pytest.fixture(scope="module")
def drawn():
    windows = CycledWindows(EXPERIMENT, OPTIONS)
    model = small()
    windows.adapt(model)
    windows.callbacks(model, 0)
    return windows, model, windows._batch(0)


def test_backgrounds_are_forecasts_of_the_models_own_analyses(drawn):
    windows, model, (inputs, truth, _) = drawn
    given = {name: of.astype("float32") for name, of in inputs.items()}
    state, true = model.predict_on_batch(given)[:, 0].astype("float64"), truth[:, 0]
    # What is as far from the truth as another state of the climate begins anew.
    kept = np.square(state - true).mean(axis=1) < 2 * windows.truth.var()
    for _ in range(25):
        state, true = Lorenz63().step(state), Lorenz63().step(true)
    following, forecast = windows._now[0][0]
    # The order in a batch is drawn.
    distances = np.abs(true[:, np.newaxis] - following[np.newaxis]).max(axis=-1)
    row, series = np.nonzero(distances < 1e-9)
    assert len(row) == BATCH
    kept = kept[row]
    np.testing.assert_allclose(forecast[series[kept]], state[row[kept]], rtol=1e-4, atol=1e-4)
    assert kept.mean() > 0.5


def test_they_are_observed_as_the_plan_says(drawn):
    windows, _, (inputs, truth, weights) = drawn
    assert truth.shape == (BATCH, 1, 3)
    noise = inputs["observations"] - truth
    assert np.square(noise).mean() == pytest.approx(2.0, rel=0.25)
    np.testing.assert_array_equal(inputs["noise_variance"], 2.0)
    # Squares in units of the noise's.
    squares = np.square(noise / windows.truth.std(axis=(0, 1))).mean()
    np.testing.assert_allclose(weights * squares, 1, rtol=0.25)
    assert np.isnan(windows.validation[0]["background"][:, 1:]).all()


def test_groups_of_series_take_turns_and_go_on(drawn):
    _, model, first = drawn
    windows = CycledWindows(EXPERIMENT, OPTIONS)
    draw_next = windows.callbacks(model, 0)[0].on_train_batch_end
    batches = iter(windows.batches(BATCH, 0, slice(None)))
    inputs, truth, _ = next(batches)
    np.testing.assert_array_equal(truth, first[1].astype("float32"))
    for turn in range(GROUPS):
        draw_next(turn, {})
        _, others, _ = next(batches)
        assert inputs["background"].shape == others.shape == truth.shape
        # Each of the first states, twenty-five steps on, is in the last of these batches alone.
        states = first[1][:, 0]
        for _ in range(25):
            states = Lorenz63().step(states)
        distances = np.abs(states[:, np.newaxis] - others.numpy()[np.newaxis, :, 0]).max(axis=-1)
        assert (distances < 1e-4).any(axis=1).sum() == (BATCH if turn == GROUPS - 1 else 0)
    with pytest.raises(AssertionError, match="Batch 0 was asked for when 64 had been drawn"):
        windows._batch(0)


@pytest.mark.long
def test_a_training_that_is_resumed_goes_on(tmp_path, monkeypatch):
    options = {"row": EXPERIMENT, "windows": BATCH, "verbose": 0}
    interrupted(monkeypatch, tmp_path / "parts", last_epoch=1, **options)
    parts = run(tmp_path / "parts", resume=True, **options)
    assert epochs_of(tmp_path / "parts") == [0, 1, 2, 3]
    assert parts.signature.noise_variance == 2.0
