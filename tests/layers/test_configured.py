"""A layer is what its constructor was given."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import Prior


@keras.saving.register_keras_serializable(package="tests")
class Blend(Prior):
    """Arguments of plain types, arrays and layers: alone, in a list, or none."""

    def __init__(self, factors, inner, others=(), final=None, *, power: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.factors = factors
        self.inner = inner
        self.others = list(others)
        self.final = final
        self.power = power

    def call(self, state):
        total = tf.add_n([layer(state) for layer in (self.inner, *self.others)])
        return total**self.power * tf.constant(self.factors, total.dtype)


@keras.saving.register_keras_serializable(package="tests")
class Forgetful(Prior):
    """Keeps its argument under another name."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.length = size

    def call(self, state):
        return self.length * state


@pytest.mark.parametrize("factors", [2.0, (1.0, 2.0, 3.0), np.array([1.0, 2.0, 3.0])])
def test_it_comes_back_with_all_that_it_holds(factors, rng, tmp_path):
    dense = keras.layers.Dense
    layer = Blend(factors, dense(3), [dense(3), keras.layers.Identity()], power=2)
    check_layer(layer, rng.normal(size=(2, 9, 3)).astype("float32"), tmp_path=tmp_path)
    assert layer.get_config()["final"] is None
    assert Blend.from_config(layer.get_config()).power == 2


def test_an_argument_that_was_not_kept_is_named():
    with pytest.raises(NotImplementedError, match=r"its argument size .* as self\.size"):
        Forgetful(3).get_config()
