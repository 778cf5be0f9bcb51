"""A residual block over time and the components of a system on a circle."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.configured import ConfiguredLayer
from tf4dvar.layers.kernels.convolution import Convolution


@keras.saving.register_keras_serializable(package="tf4dvar")
class PeriodicBlock(ConfiguredLayer):
    """Two convolutions beside the identity, the norm first (He et al. 2016); periodic.

        h + conv(relu(conv(norm(h))))

    Args:
        width: channels in and out.
        kernel_size: of the convolutions, in times and components, or for each.

    Call arguments:
        values: [batch, time, component, width].

    Returns:
        Same shape.
    """

    def __init__(self, width: int, kernel_size: int | Sequence[int] = 3, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.kernel_size = kernel_size if isinstance(kernel_size, int) else tuple(kernel_size)

    def build(self, input_shape):
        """Create the norm and the convolutions."""
        kwargs = {"boundary": "periodic", "use_bias": True, "dtype": self.dtype_policy}
        self.norm = keras.layers.LayerNormalization(dtype=self.dtype_policy)
        self.first = Convolution(self.width, self.kernel_size, **kwargs)
        self.second = Convolution(self.width, self.kernel_size, **kwargs)
        for layer in (self.norm, self.first, self.second):
            build_once(layer, input_shape)

    def call(self, values):
        """The identity and the correction."""
        return values + self.second(tf.nn.relu(self.first(self.norm(values))))
