import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers import PlaneConv
from tf4dvar.layers.kernels.plane_convolution import PlaneConvolution


@pytest.mark.parametrize("steps", [1, 7, 20])
@pytest.mark.parametrize("components", [6, 10, 23])
def test_it_is_the_convolution_of_the_plane_and_its_transpose(components, steps, rng):
    layer = PlaneConv(4, kernel_size=11, dtype="float64")
    state = tf.constant(rng.normal(size=(2, steps, components)))
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = layer(state[..., tf.newaxis])
    convolution = PlaneConvolution(layer.constrained_kernel(), state.shape)
    np.testing.assert_allclose(convolution.cropped(convolution(state)), expected, atol=1e-12)
    plane = tf.constant(rng.normal(size=expected.shape))
    np.testing.assert_allclose(
        convolution.transposed(convolution.padded(plane)),
        tape.gradient(expected, state, plane),
        atol=1e-12,
    )
