import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import BilinearODE, Lorenz63ODE
from tf4dvar.systems import Lorenz63


@pytest.fixture
def states(rng):
    return rng.normal(size=(4, 6, 3)) * 10


def test_lorenz63_at_its_true_coefficients_is_the_right_hand_side(states):
    ode = Lorenz63ODE(dtype="float64")
    np.testing.assert_allclose(ode(states), Lorenz63().tendency(states), rtol=1e-12, atol=1e-12)
    single = Lorenz63ODE()(states.astype("float32"))
    np.testing.assert_allclose(single, Lorenz63().tendency(states), rtol=1e-5, atol=2e-4)


def test_lorenz63_has_nine_coefficients_and_each_counts(states):
    ode = Lorenz63ODE(dtype="float64")
    ode.build((None, None, 3))
    assert ode.count_params() == 9
    for i in range(9):
        changed = np.array(Lorenz63ODE.TRUTH)
        changed[i] += 1.0
        assert np.abs(Lorenz63ODE(changed, dtype="float64")(states) - ode(states)).max() > 0.1


def test_lorenz63_has_its_terms_where_its_equations_have_them(states, rng):
    a0, a1, a2, b0, b1, b2, c0, c1, c2 = coefficients = rng.normal(size=9)
    x, y, z = np.moveaxis(states, -1, 0)
    equations = [
        a0 * x + a1 * y + a2 * y * z,
        b0 * y + b1 * x + b2 * x * z,
        c0 * z + c1 * x + c2 * x * y,
    ]
    ode = Lorenz63ODE(coefficients, dtype="float64")
    np.testing.assert_allclose(ode(states), np.stack(equations, axis=-1), rtol=1e-10, atol=1e-10)


def test_frozen_coefficients_are_not_trained():
    ode = Lorenz63ODE(trainable=False)
    ode.build((None, None, 3))
    assert not ode.trainable_variables
    assert not type(ode).from_config(ode.get_config()).trainable


@pytest.mark.parametrize("layer", [Lorenz63ODE, BilinearODE])
def test_layer(layer, states, tmp_path):
    check_layer(layer(), states.astype("float32"), tmp_path=tmp_path)


def test_wrong_numbers_are_refused(states):
    with pytest.raises(ValueError, match="Received 3 coefficients; expected 9"):
        Lorenz63ODE((10.0, 28.0, 8 / 3))
    with pytest.raises(ValueError, match="expected \\[batch, time, 3\\]"):
        Lorenz63ODE()(states[..., :2])


def test_bilinear_ode_holds_lorenz63(states):
    """Least squares on its features finds the right-hand side: all terms are there."""
    ode = BilinearODE(dtype="float64")
    ode.build(states.shape)
    count = ode.count_params()
    assert count == 3 * (1 + 3 + 6)
    columns = []
    for weight in ode.trainable_variables:
        flat = np.zeros(int(np.prod(weight.shape)))
        for i in range(len(flat)):
            unit = flat.copy()
            unit[i] = 1.0
            weight.assign(unit.reshape(weight.shape))
            columns.append(np.ravel(ode(states)))
            weight.assign(flat.reshape(weight.shape))
    target = Lorenz63().tendency(states).ravel()
    features = np.stack(columns, axis=1)
    solution = np.linalg.lstsq(features, target, rcond=None)[0]
    np.testing.assert_allclose(features @ solution, target, atol=1e-9)


def test_bilinear_ode_learns_by_gradients(states):
    ode = BilinearODE()
    x = tf.constant(states / 10, tf.float32)
    target = tf.constant(Lorenz63(1.0, 2.0, 1.0).tendency(states / 10), tf.float32)
    ode(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(ode(x) - target))
    assert all(
        tf.reduce_any(gradient != 0) for gradient in tape.gradient(loss, ode.trainable_variables)
    )
