"""Convolutions over space with a bilinear stage."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.configured import ConfiguredLayer
from tf4dvar.layers.kernels.convolution import Convolution


@keras.saving.register_keras_serializable(package="tf4dvar")
class BilinearConvolutions(ConfiguredLayer):
    """Convolutions over space, of every time by itself, with products of two of them.

        h = hidden(ReLU(enter(values)));    output = leave([A h, (B h) (C h)])

    Args:
        filters: channels of the output.
        units: channels of every stage.
        kernel_size: odd width along every axis of space.
        boundary: what lies beyond the edges of space; see `Convolution`.

    Call arguments:
        values: [batch, time, *space, channel].

    Returns:
        [batch, time, *space, filters].
    """

    def __init__(
        self,
        filters: int,
        units: int = 32,
        kernel_size: int = 3,
        boundary: str | Sequence[str] = "zero",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.units = units
        self.kernel_size = kernel_size
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)

    def build(self, input_shape):
        """Create the convolutions; A, B and C are one."""
        *places, channels = input_shape
        n = self.units
        self.enter = self._convolution((*places, channels), n)
        self.hidden = self._convolution((*places, n), n)
        self.stages = self._convolution((*places, n), 3 * n)
        self.leave = self._convolution((*places, 2 * n), self.filters)

    def _convolution(self, shape, filters):
        widths = (1, *[self.kernel_size] * (len(shape) - 3))
        layer = Convolution(filters, widths, self.boundary, use_bias=True, dtype=self.dtype_policy)
        build_once(layer, shape)
        return layer

    def call(self, values):
        """From stage to stage."""
        return self.with_adjoint(values)[0]

    def with_adjoint(self, values) -> tuple[Any, Callable]:
        """The output, and the adjoint at the values, from the output's shape to theirs."""
        entered = self.enter(values)
        h = self.hidden(tf.nn.relu(entered))
        linear, left, right = tf.split(self.stages(h), 3, axis=-1)
        output = self.leave(tf.concat([linear, left * right], axis=-1))

        def adjoint(residual):
            to_linear, to_product = tf.split(self.leave.transposed(residual), 2, axis=-1)
            to_stages = [to_linear, to_product * right, to_product * left]
            to_h = self.stages.transposed(tf.concat(to_stages, axis=-1))
            # In the features the derivative of this one operation is zero.
            to_entered = tf.raw_ops.ReluGrad(
                gradients=self.hidden.transposed(to_h), features=tf.stop_gradient(entered)
            )
            return self.enter.transposed(to_entered)

        return output, adjoint
