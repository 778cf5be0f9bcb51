"""The convolutional LSTM update."""

import keras
import tensorflow as tf

from tf4dvar.layers.contracts import Update


@keras.saving.register_keras_serializable(package="tf4dvar")
class LSTMCell(Update):
    """aG-LSTM update (eq. 11): a convolutional LSTM over time steps, then a linear map.

        (h, c) <- LSTM(gradient, h, c);    increment = T h

    The four gates are one convolution over the gradient and h side by side. About 3,300
    parameters for three components.

    Args:
        units: channels of the hidden and the cell state.
        kernel_size: width of the convolution, in time steps.

    Call arguments:
        gradient: [batch, time, component].
        memory: (h, c), each [batch, time, units]; zeros to begin with.

    Returns:
        The increment, shaped as the gradient, and the new memory.
    """

    def __init__(self, units: int = 15, kernel_size: int = 3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_size = kernel_size

    def build(self, gradient_shape, *_):
        """Create the gates and the linear map."""
        *leading, components = gradient_shape
        self.gates = keras.layers.Conv1D(
            4 * self.units, self.kernel_size, padding="same", dtype=self.dtype_policy, name="gates"
        )
        self.gates.build((*leading, components + self.units))
        self.increment = keras.layers.Conv1D(
            components, 1, use_bias=False, dtype=self.dtype_policy, name="increment"
        )
        self.increment.build((*leading, self.units))

    def initial(self, first_guess):
        """Zero hidden and cell states for that many windows and times."""
        shape = (*tf.unstack(tf.shape(first_guess))[:2], self.units)
        return tf.zeros(shape, first_guess.dtype), tf.zeros(shape, first_guess.dtype)

    def call(self, gradient, memory):
        """One LSTM step."""
        hidden, cell = memory
        gates = self.gates(tf.concat([gradient, hidden], axis=-1))
        entry, forget, output, candidate = tf.split(gates, 4, axis=-1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(entry) * tf.tanh(candidate)
        hidden = tf.sigmoid(output) * tf.tanh(cell)
        return self.increment(hidden), (hidden, cell)

    def get_config(self):
        """Units and kernel."""
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_size": self.kernel_size,
        }
