"""The convolutional LSTM update."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf4dvar.layers.updates.convolutional import ConvolutionalUpdate


@keras.saving.register_keras_serializable(package="tf4dvar")
class LSTMCell(ConvolutionalUpdate):
    """aG-LSTM update (eq. 11): a convolutional LSTM over time and space, then a linear map.

        (h, c) <- LSTM(gradient, h, c);    increment = T h

    The four gates are one convolution over the gradient and h side by side. About 3,300
    parameters for three components; 1,100 for a circle of any number of them, with 5 units.

    Args:
        units: channels of the hidden and the cell state.
        kernel_size: odd width of the convolution, in time steps and along every axis of space.
        boundary: what lies beyond the edges of space; see `Convolution`.
        circle: the components are one variable on a circle, not several variables: the
            convolution is over them too, and periodic.
        segment: the times of a segment of so many are channels, and the convolution is over space
            alone. For fields: with the length of the windows it is many times cheaper. By default
            the convolution is over time too.

    Call arguments:
        gradient: [batch, time, *space, variable]; of a circle, [batch, time, component].
        memory: (h, c), each [batch, time, *space, units], of a circle [batch, time, component,
            units], with a segment in place of a time; zeros to begin with.

    Returns:
        The increment, shaped as the gradient, and the new memory.
    """

    def __init__(
        self,
        units: int = 15,
        kernel_size: int = 3,
        boundary: str | Sequence[str] = "zero",
        circle: bool = False,
        segment: int | None = None,
        **kwargs,
    ):
        super().__init__(kernel_size, boundary, circle, segment, **kwargs)
        self.units = units

    def build(self, gradient_shape, *_):
        """Create the gates and the linear map."""
        *places, channels = self.shape_with_channels(gradient_shape)
        self.gates = self.convolution(
            (*places, channels + self.units), 4 * self.units, self.kernel_size, use_bias=True
        )
        self.increment = self.convolution((*places, self.units), channels, 1)

    def initial(self, first_guess):
        """Zero hidden and cell states for every time and place."""
        places = tf.unstack(tf.shape(self.with_channels(first_guess)))[:-1]
        zeros = tf.zeros((*places, self.units), first_guess.dtype)
        return zeros, zeros

    def call(self, gradient, memory):
        """One LSTM step."""
        hidden, cell = memory
        gates = self.gates(tf.concat([self.with_channels(gradient), hidden], axis=-1))
        entry, forget, output, candidate = tf.split(gates, 4, axis=-1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(entry) * tf.tanh(candidate)
        hidden = tf.sigmoid(output) * tf.tanh(cell)
        return self.without_channels(self.increment(hidden), gradient), (hidden, cell)
