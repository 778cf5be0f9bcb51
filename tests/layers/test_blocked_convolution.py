import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers.kernels.blocked_convolution import BlockedConvolution


@pytest.mark.parametrize("width", [3, 11])
@pytest.mark.parametrize("steps", [1, 2, 5, 12, 40])
def test_is_the_convolution_and_its_transpose(width, steps, rng):
    kernel = tf.constant(rng.normal(size=(width, 3, 4)))
    state = tf.constant(rng.normal(size=(2, steps, 3)))
    convolution = BlockedConvolution(kernel, steps)
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = tf.nn.conv1d(state, kernel, stride=1, padding="SAME")
    found = convolution.cropped(convolution(state))
    np.testing.assert_allclose(found, expected, atol=1e-12)

    residual = tf.constant(rng.normal(size=expected.shape))
    np.testing.assert_allclose(
        convolution.transposed(convolution.padded(residual)),
        tape.gradient(expected, state, residual),
        atol=1e-12,
    )
