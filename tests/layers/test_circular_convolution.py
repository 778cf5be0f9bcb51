import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers.kernels.circular_convolution import BLOCK, convolve_circle, turned


@pytest.mark.parametrize("components", [4, BLOCK, BLOCK + 1, 3 * BLOCK - 5])
@pytest.mark.parametrize(("channels", "filters"), [(1, 2), (2, 1)])
def test_it_is_the_periodic_sum(components, channels, filters, rng):
    rows = rng.normal(size=(3, channels, components))
    kernel = rng.normal(size=(5, channels, filters))
    expected = sum(
        np.einsum("rci,co->roi", np.roll(rows, 2 - j, axis=-1), kernel[j]) for j in range(5)
    )
    np.testing.assert_allclose(
        convolve_circle(tf.constant(rows), tf.constant(kernel)), expected, atol=1e-12
    )


@pytest.mark.parametrize("components", [5, BLOCK + 7])
def test_the_turned_kernel_is_the_transpose(components, rng):
    kernel = tf.constant(rng.normal(size=(5, 1, 2)))
    x, y = rng.normal(size=(4, 1, components)), rng.normal(size=(4, 2, components))
    there = convolve_circle(tf.constant(x), kernel)
    back = convolve_circle(tf.constant(y), turned(kernel))
    np.testing.assert_allclose(np.sum(there * y), np.sum(back * x), rtol=1e-12)
