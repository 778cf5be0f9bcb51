import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers import (
    GENN,
    BilinearBlock,
    BilinearODE,
    EulerFlow,
    Lorenz63ODE,
    Lorenz96ODE,
    Normalisation,
    NormalisedPrior,
    PeriodicGENN,
    RK4Flow,
)
from tf4dvar.layers.adjoint import with_adjoint

F64 = {"dtype": "float64"}


def scaled(prior):
    normalisation = Normalisation(**F64)
    normalisation.adapt(np.random.default_rng(3).normal(2, 5, size=(4, 6, 3)))
    return NormalisedPrior(prior, normalisation, **F64)


def with_random_weights(layer, components):
    layer.build((None, None, components))
    generator = np.random.default_rng(4)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


PRIORS = {
    "two scales": (3, lambda: GENN(units=6, **F64)),
    "block": (3, lambda: BilinearBlock(3, units=6, **F64)),
    "scaled": (3, lambda: scaled(GENN(units=6, **F64))),
    "scaled flow": (3, lambda: scaled(RK4Flow(Lorenz63ODE(**F64), 0.1, **F64))),
    "euler": (3, lambda: EulerFlow(Lorenz63ODE(range(9), **F64), 0.1, **F64)),
    "bilinear": (3, lambda: RK4Flow(with_random_weights(BilinearODE(**F64), 3), 0.1, **F64)),
    "circle": (7, lambda: PeriodicGENN(units=4, kernel_size=5, **F64)),
    "circle, one scale": (23, lambda: PeriodicGENN(units=3, kernel_size=7, scale=None, **F64)),
    "lorenz96": (5, lambda: RK4Flow(with_random_weights(Lorenz96ODE(**F64), 5), 0.1, **F64)),
}


@pytest.mark.parametrize("steps", [1, 2, 3, 20, 43])
@pytest.mark.parametrize("name", PRIORS)
def test_a_priors_own_adjoint_is_its_automatic_adjoint(name, steps, rng):
    components, make = PRIORS[name]
    prior = make()
    state = tf.constant(rng.normal(size=(2, steps, components)))
    residual = tf.constant(rng.normal(size=state.shape))
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = prior(state)
    prediction, adjoint = with_adjoint(prior, state)
    np.testing.assert_allclose(prediction, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        adjoint(residual), tape.gradient(expected, state, residual), rtol=1e-9, atol=1e-11
    )


def test_a_flow_of_an_equation_without_a_adjoint_is_differentiated(rng):
    class Pendulum(tf.keras.layers.Layer):
        def call(self, state):
            angle, speed = tf.unstack(state, axis=-1)
            return tf.stack([speed, -tf.sin(angle)], axis=-1)

    flow = RK4Flow(Pendulum(**F64), 0.2, **F64)
    state, direction = rng.normal(size=(2, 3, 6, 2))
    residual = rng.normal(size=state.shape)
    _, adjoint = with_adjoint(flow, tf.constant(state))
    small = 1e-6
    derivative = (flow(state + small * direction) - flow(state - small * direction)) / (2 * small)
    np.testing.assert_allclose(
        np.sum(adjoint(residual) * direction), np.sum(residual * derivative), rtol=1e-8
    )


def test_a_prior_that_ignores_its_state_pulls_back_to_zero(rng):
    class Constant(tf.keras.layers.Layer):
        def call(self, state):
            return tf.ones(tf.shape(state), state.dtype)

    state = tf.constant(rng.normal(size=(2, 5, 3)), tf.float32)
    np.testing.assert_array_equal(with_adjoint(Constant(), state)[1](state), 0)
