import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.finite_differences import directional_derivative
from tests.layers.layer_check import check_layer
from tf4dvar.layers import (
    GENN,
    BilinearODE,
    CostGradient,
    EulerFlow,
    LinearObservation,
    Lorenz63ODE,
    Normalisation,
    NormalisedObservation,
    RK4Flow,
    VariationalCost,
)

H = 0.01
PRIORS = {
    "rk4": lambda: RK4Flow(Lorenz63ODE(dtype="float64"), H, dtype="float64"),
    "euler": lambda: EulerFlow(Lorenz63ODE(dtype="float64"), H, dtype="float64"),
    "bilinear": lambda: RK4Flow(BilinearODE(dtype="float64"), H, dtype="float64"),
    "genn": lambda: GENN(dtype="float64"),
}


@pytest.fixture
def problem(rng):
    state = rng.normal([0, 0, 24], 8, size=(3, 12, 3))
    mask = (rng.random(state.shape) < 0.4).astype("float64")
    return state, mask * rng.normal(size=state.shape), mask


@pytest.mark.parametrize("name", PRIORS)
def test_agrees_with_finite_differences(name, problem, rng):
    state, observations, mask = problem
    gradient = CostGradient(
        VariationalCost(PRIORS[name](), 0.7, 1.3, dtype="float64"), dtype="float64"
    )
    gradient(state, observations, mask)
    for weight in gradient.trainable_variables:
        weight.assign(weight.numpy() + 0.05 * rng.normal(size=weight.shape))
    value, cost = gradient(state, observations, mask)
    np.testing.assert_allclose(cost, gradient.cost(state, observations, mask), rtol=1e-12)
    for _ in range(5):
        direction = rng.normal(size=state.shape)
        expected = directional_derivative(
            lambda x: gradient.cost(x, observations, mask), state, direction
        )
        found = np.sum(value * direction, axis=(1, 2))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


class Speed(keras.layers.Layer):
    """An operator that is not linear."""

    def call(self, state):
        return tf.sqrt(1.0 + tf.reduce_sum(tf.square(state), axis=-1, keepdims=True))


def test_agrees_with_finite_differences_where_sources_observe_by_operators(problem, rng):
    f64 = {"dtype": "float64"}
    normalisation, seen_scaling = Normalisation(**f64), Normalisation(**f64)
    normalisation.adapt(rng.normal(1.0, 5.0, size=(9, 9, 3)))
    seen_scaling.adapt(rng.normal(1.0, 20.0, size=(9, 9, 3)))
    operators = [LinearObservation(rng.normal(size=(2, 3)), **f64), Speed(**f64)]
    operator = NormalisedObservation(operators, normalisation, seen_scaling, **f64)
    cost = VariationalCost(PRIORS["rk4"](), (0.7, 3.0), 1.3, operator=operator, **f64)
    gradient = CostGradient(cost, **f64)
    state, observations, mask = problem
    precision = mask * rng.uniform(0.5, 2.0, size=mask.shape)
    value, at_state = gradient(state, observations, precision)
    np.testing.assert_allclose(at_state, cost(state, observations, precision), rtol=1e-12)
    for _ in range(5):
        direction = rng.normal(size=state.shape)
        expected = directional_derivative(
            lambda x: cost(x, observations, precision), state, direction
        )
        np.testing.assert_allclose(np.sum(value * direction, axis=(1, 2)), expected, rtol=1e-6)


def tendency_adjoint(x, g):
    """Transposed Jacobian of the Lorenz-63 right-hand side times g, by hand."""
    x, y, z = np.moveaxis(x, -1, 0)
    a, b, c = np.moveaxis(g, -1, 0)
    return np.stack([-10 * a + (28 - z) * b + y * c, 10 * a - b + x * c, -x * b - 8 / 3 * c], -1)


def rk4_adjoint(x, g):
    """Adjoint of one Runge-Kutta step, by hand."""

    def f(s):
        a, b, c = np.moveaxis(s, -1, 0)
        return np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)

    k1 = f(x)
    k2 = f(x + H / 2 * k1)
    k3 = f(x + H / 2 * k2)
    g4 = tendency_adjoint(x + H * k3, H / 6 * g)
    g3 = tendency_adjoint(x + H / 2 * k2, H / 3 * g + H * g4)
    g2 = tendency_adjoint(x + H / 2 * k1, H / 3 * g + H / 2 * g3)
    g1 = tendency_adjoint(x, H / 6 * g + H / 2 * g2)
    return g + g1 + g2 + g3 + g4


def test_agrees_with_the_adjoint_written_by_hand(problem):
    state, observations, mask = problem
    flow = PRIORS["rk4"]()
    found, _ = CostGradient(VariationalCost(flow, 0.7, 1.3, dtype="float64"), dtype="float64")(
        state, observations, mask
    )
    residual = state - flow(state).numpy()
    factor = 2 * 1.3 / state[0].size
    expected = 2 * 0.7 * mask * (state - observations) / mask.sum((1, 2), keepdims=True)
    expected += factor * residual
    expected[:, :-1] -= factor * rk4_adjoint(state[:, :-1], residual[:, 1:])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_layer(rng, tmp_path):
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    mask = (rng.random(x.shape) < 0.4).astype("float32")
    layer = CostGradient(VariationalCost(GENN()))
    gradient, cost = check_layer(layer, x, x * mask, mask, tmp_path=tmp_path)
    assert gradient.shape == x.shape
    assert cost.shape == (2,)
