import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import GENN, BilinearBlock, CostGradient, VariationalCost


def own_derivatives(prior, steps, rng):
    """d Phi(x)(s) / d x(s) over all times s, and the whole Jacobian."""
    x = tf.constant(rng.normal(size=(1, steps, 3)).astype("float32"))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = prior(x)
    jacobian = tape.jacobian(y, x, experimental_use_pfor=False).numpy()[0, :, :, 0]
    return np.einsum("tctd->tcd", jacobian), jacobian


@pytest.mark.long
@pytest.mark.parametrize("steps", [24, 21])
def test_no_state_enters_its_own_prediction_during_training_too(steps, rng):
    prior = GENN(units=8)
    x = rng.normal(size=(4, steps, 3)).astype("float32")
    prior(x)
    optimizer = tf.keras.optimizers.Adam(0.05)
    for _ in range(3):
        own, jacobian = own_derivatives(prior, steps, rng)
        np.testing.assert_array_equal(own, 0.0)
        assert np.abs(jacobian).max() > 1e-3
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(prior(x) - x))
        gradients = tape.gradient(loss, prior.trainable_variables)
        optimizer.apply(gradients, prior.trainable_variables)


def test_the_constraint_can_be_switched_off(rng):
    own, _ = own_derivatives(GENN(units=8, zero_centre=False), 24, rng)
    assert np.abs(own).max() > 1e-3


def test_paper_size():
    prior = GENN()
    prior.build((None, None, 3))
    assert prior.count_params() == 15_300


@pytest.mark.parametrize("steps", [2, 3, 5, 200, 203])
def test_any_window_length(steps, rng):
    x = rng.normal(size=(2, steps, 3)).astype("float32")
    assert GENN(units=4)(x).shape == x.shape


def test_coarse_scale_alone_is_constant_over_its_blocks(rng):
    prior = GENN(units=4)
    x = rng.normal(size=(1, 16, 3)).astype("float32")
    prior(x)
    prior.fine.kernel.assign(np.zeros(prior.fine.kernel.shape))
    prior.up.assign(np.ones(prior.up.shape))
    blocks = prior(x).numpy().reshape(1, 4, 4, 3)
    np.testing.assert_allclose(blocks, np.broadcast_to(blocks[:, :, :1], blocks.shape), atol=1e-6)
    assert np.ptp(blocks[0, :, 0, 0]) > 1e-4


def test_layers(rng, tmp_path):
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    check_layer(GENN(), x, tmp_path=tmp_path)
    (block,) = check_layer(BilinearBlock(5), x, tmp_path=tmp_path)
    assert block.shape == (2, 9, 5)


def test_an_even_kernel_has_no_centre():
    with pytest.raises(ValueError, match="kernel_size=10; expected an odd number"):
        BilinearBlock(3, kernel_size=10)


def test_one_scale_is_a_block(rng):
    prior = GENN(units=6, scale=None, dtype="float64")
    x = rng.normal(size=(2, 9, 3))
    np.testing.assert_array_equal(prior(x), prior.fine(x))
    assert len(prior.weights) == len(prior.fine.weights)


@pytest.mark.parametrize("boundary", ["zero", ("reflected", "periodic")])
@pytest.mark.parametrize("scale", [None, 2])
def test_no_value_of_a_field_enters_its_own_prediction(scale, boundary, rng):
    prior = GENN(4, 3, scale=scale, boundary=boundary, dtype="float64")
    # The adjoint of every unit vector, as windows of a batch.
    x = tf.repeat(rng.normal(size=(1, 5, 4, 3, 2)), 120, axis=0)
    prior(x)
    _, adjoint = prior.with_adjoint(x)
    jacobian = adjoint(np.eye(120).reshape(x.shape)).numpy()
    by_value = jacobian.reshape(60, 2, 60, 2)
    own = np.einsum("pupv->puv", by_value)
    np.testing.assert_array_equal(own, 0.0)
    # What the neighbours in time, in y and in x say counts.
    places = by_value.reshape(5, 12, 2, 5, 12, 2)
    assert np.abs(np.einsum("tpuspv->tspuv", places)).max() > 1e-3
    assert np.abs(np.einsum("tputqv->tpquv", places)).max() > 1e-3


@pytest.mark.parametrize("scale", [None, 4])
def test_a_field_of_one_place_is_a_series(scale, rng):
    x = rng.normal(size=(2, 9, 3))
    series = GENN(4, 5, scale=scale, dtype="float64")
    field = GENN(4, 5, scale=scale, dtype="float64")
    series(x)
    field(x[:, :, np.newaxis, np.newaxis])
    for ours, theirs in zip(field.weights, series.weights, strict=True):
        if ours.shape != theirs.shape:
            kernel = ours.numpy()
            kernel[:, 2, 2] = theirs
            theirs = kernel
        ours.assign(theirs)
    np.testing.assert_allclose(
        field(x[:, :, np.newaxis, np.newaxis])[:, :, 0, 0], series(x), rtol=1e-9, atol=1e-12
    )


def test_the_gradient_of_a_fields_cost_is_trained_through(rng):
    prior = GENN(4, 3, scale=2, boundary=("reflected", "periodic"), dtype="float64")
    gradient = CostGradient(VariationalCost(prior, dtype="float64"), dtype="float64")
    state, observations = rng.normal(size=(2, 2, 5, 4, 6, 1))

    def size():
        return tf.reduce_sum(tf.square(gradient(state, observations, np.ones_like(state))[0]))

    size()
    kernel = prior.fine.kernel
    with tf.GradientTape() as tape:
        value = size()
    derivative = tape.gradient(value, kernel).numpy()
    step = np.zeros(kernel.shape)
    step[0, 1, 2, 0, 3] = 1e-6
    before = kernel.numpy()
    kernel.assign(before + step)
    above = size()
    kernel.assign(before - step)
    np.testing.assert_allclose(
        (above - size()) / 2e-6, derivative[0, 1, 2, 0, 3], rtol=1e-6, atol=1e-9
    )
