"""What overflows or diverges is found out; what is merely scarce is answered."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.classical import FixedStepDescent, Problem
from tf4dvar.errors import InputError
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.experiments import true_flow
from tf4dvar.layers import GENN, ConvCell, FixedStepCell, GradientSolver, LSTMCell, RK4Flow
from tf4dvar.layers.odes.lorenz96 import Lorenz96ODE
from tf4dvar.models import FourDVarNet
from tf4dvar.training import DivergenceGuard


@pytest.fixture
def observations(windows):
    return windows["observations"].values[:4, :40].astype("float32")


def adapted(prior, cell, observations, iterations=2):
    model = FourDVarNet(prior, GradientSolver(cell, iterations=iterations))
    model.adapt(observations)
    return model


@pytest.mark.long
@pytest.mark.parametrize("cell", [LSTMCell(units=2), ConvCell((2, 2))])
@pytest.mark.parametrize("size", [1e6, 1e12])
def test_an_overflow_in_a_flow_does_not_look_like_an_answer(size, cell, observations):
    """1e12 overflows in the stages of a step. With 1e6 it is the gradient's norm alone that does:
    divided by infinity, the gradient would be zero and the first guess the answer."""
    model = adapted(true_flow("l63"), cell, observations)
    expected = model(observations).numpy()
    spoilt = observations.copy()
    spoilt[2, 8, 0] = size
    state = model(spoilt).numpy()
    assert np.isnan(state[2]).any()
    np.testing.assert_array_equal(np.delete(state, 2, axis=0), np.delete(expected, 2, axis=0))
    with pytest.raises(InputError, match=r"1 of 4 windows are not finite, the first .* number 2"):
        reconstruct(model, spoilt)


def test_what_single_precision_cannot_hold_is_refused(observations):
    model = adapted(keras.layers.Dense(3), FixedStepCell(0.1), observations)
    spoilt = observations.astype("float64")
    spoilt[2, 8, 0] = 1e39
    with pytest.raises(InputError, match=r"1 infinite observations .* \[2, 8, 0\]"):
        reconstruct(model, spoilt)
    with pytest.raises(InputError, match=r"1 infinite observations .* \[2, 8, 0\]"):
        model.predict(spoilt, verbose=0)


@pytest.mark.long
@pytest.mark.parametrize(
    ("prior", "components"),
    [
        (lambda: true_flow("l63"), 3),
        (lambda: GENN(units=2), 3),
        (lambda: RK4Flow(Lorenz96ODE(trainable=False), 0.05), 8),
    ],
)
@pytest.mark.parametrize("observed", ["none", "one", "all"])
def test_one_observation_none_and_all_give_a_state(observed, prior, components, rng):
    values = rng.normal(size=(3, 12, components)).astype("float32")
    model = adapted(prior(), LSTMCell(units=2), values)
    mask = np.zeros_like(values, bool)
    mask[{"none": (slice(0),), "one": (1, 5, 0), "all": ...}[observed]] = True
    with tf.GradientTape() as tape:
        state = model(np.where(mask, values, np.nan), training=True)
        loss = model.compute_loss(None, values, state)
    assert np.isfinite(state).all()
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_a_gradient_of_zero_leaves_the_first_guess_as_it_is(rng):
    """Constant windows satisfy a prior that changes nothing."""
    values = np.broadcast_to(rng.normal(size=(3, 1, 2)), (3, 9, 2)).astype("float32")
    model = adapted(keras.layers.Identity(), FixedStepCell(0.1), values)
    with tf.GradientTape() as tape:
        state = model(values, training=True)
        loss = model.compute_loss(None, values + 1, state)
    np.testing.assert_allclose(state, values, atol=1e-6)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.isfinite(each).all() for each in gradients if each is not None)


@pytest.mark.long
def test_a_chaotic_prior_from_a_bad_first_guess_is_stopped_with_its_weights(windows, caplog):
    caplog.set_level(logging.WARNING)
    observations, truth = (
        windows[name].values[:4, :40].astype("float32") for name in ("observations", "truth")
    )
    model = adapted(true_flow("l63"), FixedStepCell(1e6), observations, iterations=4)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False, run_eagerly=True)
    before = model.get_weights()
    history = model.fit(
        observations,
        truth,
        batch_size=2,
        epochs=9,
        verbose=0,
        callbacks=[DivergenceGuard(patience=2)],
    )
    assert len(history.epoch) == 2
    assert caplog.text.count("the weights of the epoch's beginning are back") == 2
    assert "after 2 restores: training stops" in caplog.text
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_classical_method_that_diverges_is_an_error(observations):
    spoilt = observations.astype("float64")
    spoilt[1, 8, 0] = 1e30
    problem = Problem(spoilt, true_flow("l63", dtype="float64"), 2.0)
    with pytest.raises(InputError, match=r"1 of 4 windows .* number 1: fsgd diverges there"):
        FixedStepDescent(steps=2).analyse(problem)
