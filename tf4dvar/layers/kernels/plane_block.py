"""A residual block on the component-time plane."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.kernels.periodic import PlaneConv


@keras.saving.register_keras_serializable(package="tf4dvar")
class PlaneBlock(keras.layers.Layer):
    """Two convolutions beside the identity, the norm first (He et al. 2016); periodic.

        h + conv(relu(conv(norm(h))))

    Args:
        width: channels in and out.

    Call arguments:
        plane: [batch, time, component, width].

    Returns:
        Same shape.
    """

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def build(self, input_shape):
        """Create the norm and the convolutions."""
        self.norm = keras.layers.LayerNormalization(dtype=self.dtype_policy)
        self.first = PlaneConv(self.width, use_bias=True, dtype=self.dtype_policy)
        self.second = PlaneConv(self.width, use_bias=True, dtype=self.dtype_policy)
        for layer in (self.norm, self.first, self.second):
            build_once(layer, input_shape)

    def call(self, plane):
        """The identity and the correction."""
        return plane + self.second(tf.nn.relu(self.first(self.norm(plane))))

    def get_config(self):
        """Width."""
        return {**super().get_config(), "width": self.width}
