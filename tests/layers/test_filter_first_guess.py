"""A learned filter as the first guess, beside the same loop in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    EachTime,
    FilterFirstGuess,
    FirstGuess,
    FixedStepCell,
    GradientSolver,
    LinearObservation,
    Lorenz63ODE,
    RK4Flow,
)
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import Lorenz63

MEAN, STD = np.array([1.0, -2.0, 20.0]), np.array([7.0, 8.0, 9.0])


@keras.saving.register_keras_serializable(package="tests")
class Gain(FirstGuess):
    """Half of the departures, and a tenth of their sum for all."""

    background = True
    weighted = True

    def call(self, observations, mask, background):
        return 0.5 * observations + 0.1 * tf.reduce_sum(observations, axis=-1, keepdims=True)


@pytest.fixture
def model():
    flow = RK4Flow(Lorenz63ODE(trainable=False, dtype="float64"), 0.01, dtype="float64")
    return with_normalisation(
        FourDVarNet(
            flow,
            GradientSolver(FixedStepCell(0.1), iterations=0, dtype="float64"),
            FilterFirstGuess(Gain(dtype="float64"), dtype="float64"),
            dtype="float64",
        )
    )


def with_normalisation(model):
    model.build((None, None, 3))
    model.normalisation.mean.assign(MEAN)
    model.normalisation.std.assign(STD)
    return model


@pytest.fixture
def observations(rng):
    values = MEAN + STD * rng.normal(size=(4, 12, 3))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 5] = np.nan
    values[0, :, :] = np.nan
    return values


def filtered(observations, start):
    """The same in NumPy: by the system's own scheme, in physical units."""
    state, states = start, []
    for time in range(observations.shape[1]):
        if time:
            state = Lorenz63().step(state)
        departures = np.nan_to_num((observations[:, time] - state) / STD)
        state = state + STD * (0.5 * departures + 0.1 * departures.sum(axis=-1, keepdims=True))
        states.append(state)
    return np.stack(states, axis=1)


def test_it_is_a_forecast_and_a_correction_again_and_again(model, observations):
    states = model(observations)
    np.testing.assert_allclose(states, filtered(observations, np.tile(MEAN, (4, 1))), rtol=1e-9)


def test_its_background_is_the_first_forecast(model, observations, rng):
    first = MEAN + STD * rng.normal(size=(4, 3))
    background = np.full_like(observations, np.nan)
    background[:, 0] = first
    states = model({"observations": observations, "background": background})
    np.testing.assert_allclose(states, filtered(observations, first), rtol=1e-9)


def test_a_window_in_parts_is_the_window(model, observations):
    whole = model(observations).numpy()
    first = model(observations[:, :7]).numpy()
    background = np.full_like(observations[:, 7:], np.nan)
    background[:, 0] = Lorenz63().step(first[:, -1])
    second = model({"observations": observations[:, 7:], "background": background})
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, rtol=1e-9)


def test_what_is_observed_later_does_not_count(model, observations):
    changed = observations.copy()
    changed[:, 8:] += 5.0
    before, after = (model(each).numpy() for each in (observations, changed))
    np.testing.assert_array_equal(before[:, :8], after[:, :8])
    assert (before[1:, 8:] != after[1:, 8:]).any(axis=(1, 2)).all()


def test_it_is_trained_through_the_window(observations):
    network = AttentionFirstGuess(1, 8, 1, 2, weighted=True, background=True)
    guess = FilterFirstGuess(network)
    model = FourDVarNet(
        RK4Flow(Lorenz63ODE(trainable=False), 0.01),
        GradientSolver(FixedStepCell(0.1), iterations=1, unroll=True),
        guess,
    )
    model = with_normalisation(model)
    model.compile("adam")
    assert not model.jit_compile
    with tf.GradientTape() as tape:
        last = tf.reduce_sum(model(observations.astype("float32"))[:, -1])
    gradients = tape.gradient(last, guess.trainable_variables)
    assert all(np.isfinite(each).all() for each in gradients)
    assert any(np.abs(each).max() > 0 for each in gradients)


def test_a_correction_is_a_share_of_the_noise(observations):
    """Of the same network: departures and corrections are in its units."""

    def told(variance):
        seen = []

        @keras.saving.register_keras_serializable(package="tests")
        class Told(Gain):
            def call(self, observations, mask, background):
                seen.append(observations)
                return tf.ones_like(observations)

        values = (observations[1:2, :1] - MEAN) / STD
        weights = np.where(np.isnan(values), 0.0, np.array([1.0, 1.0, 4.0]) / variance)
        corrected = FilterFirstGuess(Told(dtype="float64"), dtype="float64")(
            np.nan_to_num(values), weights
        )
        return seen[-1].numpy()[0, 0], corrected[0, 0].numpy(), values[0, 0], weights[0, 0]

    departures, corrected, values, weights = told(4.0)
    observed = weights > 0
    scale = (1 / np.sqrt(weights[observed])).mean()
    np.testing.assert_allclose(departures, np.where(observed, values, 0.0) / scale)
    np.testing.assert_allclose(corrected, scale)
    np.testing.assert_allclose(told(16.0)[1], 2 * scale)


def test_each_time_is_seen_alone(rng):
    network = AttentionFirstGuess(1, 8, 1, 2, background=True, outputs=2)
    each = EachTime(network)
    values, mask, background = rng.normal(size=(3, 2, 5, 3)).astype("float32")
    whole = each(values, mask, background)
    assert whole.shape == (2, 5, 6)
    one = network(values[:, 3:4], mask[:, 3:4], background[:, 3:4])
    np.testing.assert_allclose(whole[:, 3:4], one, rtol=1e-5, atol=1e-6)
    assert (each.background, each.outputs, each.weighted) == (True, 2, False)


def test_what_cannot_be_a_filter_is_refused():
    with pytest.raises(InputError, match="background=False and outputs=1"):
        FilterFirstGuess(AttentionFirstGuess())
    with pytest.raises(InputError, match="background=True and outputs=2"):
        FilterFirstGuess(AttentionFirstGuess(background=True, outputs=2))
    guess, solver = FilterFirstGuess(Gain()), GradientSolver(FixedStepCell(0.1), 0)
    with pytest.raises(InputError, match="expected a flow without covariates"):
        FourDVarNet(GENN(), solver, guess)
    flow = RK4Flow(Lorenz63ODE(trainable=False), 0.01)
    with pytest.raises(InputError, match="with an observation operator"):
        FourDVarNet(flow, solver, guess, observation=LinearObservation(np.eye(3)[:2]))


def test_of_several_priors_it_takes_the_flow(observations):
    flow = RK4Flow(Lorenz63ODE(trainable=False), 0.01)
    solver = GradientSolver(FixedStepCell(0.1), iterations=0)
    model = FourDVarNet([GENN(4), flow], solver, FilterFirstGuess(Gain()))
    states = with_normalisation(model)(observations.astype("float32"))
    expected = filtered(observations, np.tile(MEAN, (4, 1)))
    np.testing.assert_allclose(states, expected, rtol=1e-3, atol=1e-3)
