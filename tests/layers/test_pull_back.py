import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers import BilinearBlock, NormalisedPrior, Scaling, TwoScaleGENN
from tf4dvar.layers.pull_back import linearise


def scaled():
    scaling = Scaling(dtype="float64")
    scaling.adapt(np.random.default_rng(3).normal(2, 5, size=(4, 6, 3)))
    return NormalisedPrior(TwoScaleGENN(units=6, dtype="float64"), scaling, dtype="float64")


@pytest.mark.parametrize("steps", [2, 3, 20, 43])
@pytest.mark.parametrize(
    "make",
    [
        lambda: TwoScaleGENN(units=6, dtype="float64"),
        lambda: BilinearBlock(3, units=6, dtype="float64"),
        scaled,
    ],
)
def test_a_priors_own_pull_back_is_its_automatic_adjoint(make, steps, rng):
    prior = make()
    state = tf.constant(rng.normal(size=(2, steps, 3)))
    residual = tf.constant(rng.normal(size=state.shape))
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = prior(state)
    prediction, pull_back = linearise(prior, state)
    np.testing.assert_allclose(prediction, expected, atol=1e-12)
    np.testing.assert_allclose(
        pull_back(residual), tape.gradient(expected, state, residual), atol=1e-12
    )


def test_a_prior_that_ignores_its_state_pulls_back_to_zero(rng):
    class Constant(tf.keras.layers.Layer):
        def call(self, state):
            return tf.ones(tf.shape(state), state.dtype)

    state = tf.constant(rng.normal(size=(2, 5, 3)), tf.float32)
    np.testing.assert_array_equal(linearise(Constant(), state)[1](state), 0)
