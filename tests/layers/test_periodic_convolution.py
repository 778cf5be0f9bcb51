import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers import Convolution
from tf4dvar.layers.kernels.periodic_convolution import PeriodicConvolution


@pytest.mark.parametrize("steps", [1, 7, 20])
@pytest.mark.parametrize("components", [6, 10, 23])
def test_it_is_the_convolution_around_the_circle_and_its_transpose(components, steps, rng):
    layer = Convolution(4, kernel_size=11, boundary="periodic", dtype="float64")
    state = tf.constant(rng.normal(size=(2, steps, components)))
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = layer(state[..., tf.newaxis])
    convolution = PeriodicConvolution(layer.constrained_kernel(), state.shape)
    np.testing.assert_allclose(convolution.cropped(convolution(state)), expected, atol=1e-12)
    values = tf.constant(rng.normal(size=expected.shape))
    np.testing.assert_allclose(
        convolution.transposed(convolution.padded(values)),
        tape.gradient(expected, state, values),
        atol=1e-12,
    )
