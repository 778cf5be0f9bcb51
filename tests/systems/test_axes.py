import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers.windows import window_mean, window_sum
from tf4dvar.systems.axes import axes_but

SHAPES = [(4, 6, 3), (4, 6, 5, 3), (4, 6, 2, 5, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kept", [0, 1, -1])
def test_every_entry_of_the_kept_axis_has_its_own_number(shape, kept, rng):
    values = rng.normal(size=shape)
    rows = np.moveaxis(values, kept, 0).reshape(shape[kept], -1)
    np.testing.assert_allclose(values.sum(axes_but(kept, values)), rows.sum(1))
    tensor = tf.constant(values)
    np.testing.assert_allclose(tf.reduce_sum(tensor, axes_but(kept, tensor)), rows.sum(1))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_window_has_one_sum_and_one_mean(shape, rng):
    values = tf.constant(rng.normal(size=shape))
    rows = values.numpy().reshape(4, -1)
    np.testing.assert_allclose(window_sum(values), rows.sum(1))
    np.testing.assert_allclose(window_mean(values), rows.mean(1))
    scaled = values / window_mean(tf.square(values), keepdims=True)
    np.testing.assert_allclose(window_mean(tf.square(scaled)) * (rows**2).mean(1), 1.0)
