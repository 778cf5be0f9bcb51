import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import OneScaleGENN


def test_no_state_enters_its_own_prediction(rng):
    prior = OneScaleGENN(units=8)
    x = tf.constant(rng.normal(size=(1, 20, 3)).astype("float32"))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = prior(x)
    jacobian = tape.jacobian(y, x, experimental_use_pfor=False).numpy()[0, :, :, 0]
    np.testing.assert_array_equal(np.einsum("tctd->tcd", jacobian), 0.0)
    assert np.abs(jacobian).max() > 1e-3


@pytest.mark.parametrize("steps", [1, 9])
def test_layer(steps, rng, tmp_path):
    x = rng.normal(size=(2, steps, 3)).astype("float32")
    (output,) = check_layer(OneScaleGENN(units=6), x, tmp_path=tmp_path)
    assert output.shape == x.shape
