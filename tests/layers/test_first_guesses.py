"""What every learned first guess must do."""

from functools import partial

import keras
import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tf4dvar.errors import InputError
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    FixedStepCell,
    GradientSolver,
    LSTMCell,
    PeriodicBlock,
    PeriodicFirstGuess,
    TransformerBlock,
)
from tf4dvar.models import FourDVarNet

attention = partial(AttentionFirstGuess, segment=4, width=16, depth=2, heads=2)
periodic = partial(PeriodicFirstGuess, segment=4, width=8, depth=2)
every_guess = pytest.mark.parametrize("small", [attention, periodic], ids=["attention", "periodic"])


@pytest.fixture
def observed(rng):
    mask = (rng.random((3, 10, 6)) < 0.4).astype("float32")
    return rng.normal(size=mask.shape).astype("float32") * mask, mask


@every_guess
def test_layer(small, observed, tmp_path):
    (guess,) = check_layer(small(), *observed, tmp_path=tmp_path)
    assert guess.shape == (3, 10, 6)


def test_blocks(rng, tmp_path):
    check_layer(TransformerBlock(8, 2), rng.normal(size=(2, 5, 8)).astype("f4"), tmp_path=tmp_path)
    check_layer(PeriodicBlock(4), rng.normal(size=(2, 5, 6, 4)).astype("f4"), tmp_path=tmp_path)


@every_guess
def test_windows_do_not_mix(small, observed):
    layer = small()
    together = layer(*observed)
    for window in range(3):
        alone = layer(*(values[window : window + 1] for values in observed))
        np.testing.assert_allclose(together[window : window + 1], alone, atol=1e-5)


@every_guess
def test_observing_zero_is_not_the_same_as_not_observing(small):
    layer = small()
    nothing = np.zeros((1, 8, 4), "float32")
    seen = nothing.copy()
    seen[0, 3, 1] = 1.0
    assert not np.allclose(layer(nothing, nothing), layer(nothing, seen))


@every_guess
def test_any_window_length(small):
    layer = small()
    for steps in (1, 4, 7, 200):
        nothing = np.zeros((2, steps, 3), "float32")
        assert layer(nothing, nothing).shape == (2, steps, 3)


@pytest.mark.long
@every_guess
def test_a_model_learns_it_and_keeps_it(small, windows, tmp_path):
    observations, truth = windows["observations"].values, windows["truth"].values
    # Of the rest the least there is: it is traced too.
    prior, cell = keras.layers.Dense(3), FixedStepCell(0.1)
    model = FourDVarNet(prior, GradientSolver(cell, iterations=0), first_guess=small())
    model.adapt(observations)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    history = model.fit(observations, truth, epochs=20, batch_size=10, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    model.iterations = 2
    states = model.predict(observations, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(observations, verbose=0), states)


def test_attention_sees_every_observation_at_every_time(observed):
    layer = attention()
    values, mask = observed
    before = layer(values, mask).numpy()
    time, component = np.argwhere(mask[0])[0]
    values[0, time, component] += 1.0
    after = layer(values, mask).numpy()
    assert (before[0] != after[0]).any(axis=-1).all()
    np.testing.assert_array_equal(before[1:], after[1:])


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="multiple of twice the heads"):
        AttentionFirstGuess(width=10, heads=4)


def test_turning_the_circle_turns_the_guess(observed):
    layer = periodic()
    turned = layer(*(np.roll(values, 2, axis=-1) for values in observed))
    np.testing.assert_allclose(turned, np.roll(layer(*observed), 2, axis=-1), atol=1e-5)


def test_around_a_circle_an_observation_reaches_as_far_as_the_blocks():
    # Two blocks of two convolutions and the one at the entry reach five components to each side.
    layer = periodic()
    nothing = np.zeros((1, 40, 30), "float32")
    seen = nothing.copy()
    seen[0, 20, 15] = 1.0
    changed = (layer(seen, seen).numpy() != layer(nothing, nothing).numpy())[0]
    np.testing.assert_array_equal(np.flatnonzero(changed.any(axis=0)), np.arange(10, 21))
    np.testing.assert_array_equal(np.flatnonzero(changed.any(axis=1)), np.arange(40))


@pytest.mark.long
def test_attention_over_too_many_segments_says_so_before_it_takes_the_memory(rng):
    """It compares all with all: a window of a million steps would take 250 GB."""
    model = FourDVarNet(
        GENN(2), GradientSolver(LSTMCell(2), 1), first_guess=AttentionFirstGuess(depth=1)
    )
    observations = rng.normal(size=(1, 400_000, 3)).astype("float32")
    model.build(observations.shape)
    with pytest.raises(InputError, match="50000 segments of 8 steps; cut them"):
        reconstruct(model, observations)
    assert reconstruct(model, observations[:, :200]).states.shape == (1, 200, 3)


@every_guess
def test_it_may_be_told_the_noise(small, rng):
    told = small(weighted=True)
    model = FourDVarNet(
        GENN(), GradientSolver(FixedStepCell(0.1), iterations=0), told, noise_variance=2.0
    )
    observations = np.where(rng.random((2, 12, 3)) < 0.5, rng.normal(size=(2, 12, 3)), np.nan)
    model.adapt(observations)
    seen = []
    call = told.call
    told.call = lambda values, mask: seen.append(mask.numpy()) or call(values, mask)
    alone = model(observations)
    same, noisy = (
        model({"observations": observations, "noise_variance": np.full(observations.shape, noise)})
        for noise in (2.0, 8.0)
    )
    np.testing.assert_array_equal(alone, same)
    assert np.abs(noisy - same).max() > 1e-3
    weights, _, of_noisy = seen
    expected = np.square(model.normalisation.std.numpy()) / 2.0
    np.testing.assert_allclose(weights, np.isfinite(observations) * expected, rtol=1e-6)
    np.testing.assert_allclose(of_noisy, weights / 4, rtol=1e-6)
