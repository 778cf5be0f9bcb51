import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import PeriodicBilinearBlock, PeriodicGENN


def own_derivatives(prior, shape, rng):
    """d Phi(x)(s) / d x(s) over all times and components s, and the whole Jacobian."""
    x = tf.constant(rng.normal(size=(1, *shape)).astype("float32"))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = prior(x)
    jacobian = tape.jacobian(y, x, experimental_use_pfor=False).numpy()[0, :, :, 0]
    return np.einsum("tctc->tc", jacobian), jacobian


@pytest.mark.long
@pytest.mark.parametrize("scale", [4, None])
@pytest.mark.parametrize("steps", [12, 9])
def test_no_value_enters_its_own_prediction_during_training_too(scale, steps, rng):
    prior = PeriodicGENN(units=6, kernel_size=5, scale=scale)
    x = rng.normal(size=(4, steps, 7)).astype("float32")
    prior(x)
    optimizer = keras.optimizers.Adam(0.05)
    for _ in range(3):
        own, jacobian = own_derivatives(prior, (steps, 7), rng)
        np.testing.assert_array_equal(own, 0.0)
        assert np.abs(jacobian).max() > 1e-4
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(prior(x) - x))
        gradients = tape.gradient(loss, prior.trainable_variables)
        optimizer.apply(gradients, prior.trainable_variables)


def test_the_constraint_can_be_switched_off(rng):
    own, _ = own_derivatives(PeriodicGENN(6, 5, zero_centre=False), (12, 7), rng)
    assert np.abs(own).max() > 1e-4


def test_paper_size():
    prior = PeriodicGENN()
    prior.build((None, None, 40))
    scale = 121 * 50 + 6 * 50 * 50
    assert prior.count_params() == 2 * scale + 4 * 50 * 50 + 50 == 52_150


@pytest.mark.parametrize("steps", [1, 3, 10, 16])
@pytest.mark.parametrize("components", [6, 40])
def test_any_window_length_and_number_of_components(steps, components, rng):
    x = rng.normal(size=(2, steps, components)).astype("float32")
    assert PeriodicGENN(units=4)(x).shape == x.shape


def test_turning_the_circle_turns_the_prediction(rng):
    prior = PeriodicGENN(units=4, kernel_size=5)
    x = rng.normal(size=(2, 10, 8)).astype("float32")
    np.testing.assert_allclose(prior(np.roll(x, 3, -1)), np.roll(prior(x), 3, -1), atol=1e-6)


def test_the_maps_multiplied_beforehand_are_those_of_the_equation(rng):
    block = PeriodicBilinearBlock(units=4, kernel_size=3, dtype="float64")
    state, readout = rng.normal(size=(2, 6, 5)), rng.normal(size=(4, 2))
    output = block(state, readout)
    hidden = np.maximum(block.neighbours(state[..., None]), 0)
    u = hidden @ block.narrow.numpy()
    left, right = block.products.numpy()
    linear = u @ block.linear.numpy()
    expected = np.concatenate([linear, (u @ left) * (u @ right)], axis=-1)
    expected = expected @ np.concatenate(block.out.numpy()) @ readout
    np.testing.assert_allclose(output, expected, atol=1e-12)


def test_coarse_scale_alone_comes_back_by_a_transposed_convolution(rng):
    prior = PeriodicGENN(units=4, kernel_size=5)
    x = rng.normal(size=(1, 10, 6)).astype("float32")
    prior(x)
    prior.fine.neighbours.kernel.assign(np.zeros(prior.fine.neighbours.kernel.shape))
    down = np.stack([x[:, :4].mean(1), x[:, 4:8].mean(1), x[:, [8, 9, 9, 9]].mean(1)], 1)
    coarse = prior.coarse(down, np.eye(4, dtype="float32")).numpy()
    up = prior.up.numpy() @ prior.out.numpy()
    expected = np.stack([coarse[:, t // 4] @ up[t % 4, :, 0] for t in range(10)], axis=1)
    np.testing.assert_allclose(prior(x), expected, atol=1e-6)


def test_layers(rng, tmp_path):
    x = rng.normal(size=(2, 9, 8)).astype("float32")
    check_layer(PeriodicGENN(units=4), x, tmp_path=tmp_path)
    check_layer(PeriodicGENN(units=4, scale=None), x, tmp_path=tmp_path)
