"""Updates on the component-time plane of a system on a circle."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import Update
from tf4dvar.layers.kernels.periodic import PlaneConv

# Descent by a step of 0.05 diverges with the true dynamics of Lorenz-96 as the prior.
FIRST_STEP = 0.03


@keras.saving.register_keras_serializable(package="tf4dvar")
class PlaneLSTMCell(Update):
    """aG-LSTM update (eq. 11) on the plane, periodic in the components; see `LSTMCell`.

    About 1,100 parameters, for any number of components.

    Args:
        units: channels of the hidden and the cell state.
        kernel_size: width of the convolution, in time steps and in components.

    Call arguments:
        gradient: [batch, time, component].
        memory: (h, c), each [batch, time, component, units]; zeros to begin with.

    Returns:
        The increment, shaped as the gradient, and the new memory.
    """

    def __init__(self, units: int = 5, kernel_size: int = 3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_size = kernel_size

    def build(self, gradient_shape, *_):
        """Create the gates and the linear map."""
        self.gates = PlaneConv(
            4 * self.units, self.kernel_size, use_bias=True, dtype=self.dtype_policy
        )
        self.increment = PlaneConv(1, 1, dtype=self.dtype_policy)
        build_once(self.gates, (*gradient_shape, 1 + self.units))
        build_once(self.increment, (*gradient_shape, self.units))

    def initial(self, first_guess):
        """Zero hidden and cell states for every value of the plane."""
        zeros = tf.zeros((*tf.unstack(tf.shape(first_guess)), self.units), first_guess.dtype)
        return zeros, zeros

    def call(self, gradient, memory):
        """One LSTM step."""
        hidden, cell = memory
        gates = self.gates(tf.concat([gradient[..., tf.newaxis], hidden], axis=-1))
        entry, forget, output, candidate = tf.split(gates, 4, axis=-1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(entry) * tf.tanh(candidate)
        hidden = tf.sigmoid(output) * tf.tanh(cell)
        return self.increment(hidden)[..., 0], (hidden, cell)

    def get_config(self):
        """Units and kernel."""
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_size": self.kernel_size,
        }


@keras.saving.register_keras_serializable(package="tf4dvar")
class PlaneConvCell(Update):
    """aG-Conv update (eq. 12) on the plane, periodic in the components; see `ConvCell`.

    L and T are two numbers here, since the plane has one channel. About 1,400 parameters, for
    any number of components.

    Args:
        filters: channels of the two hidden convolutions.
        kernel_size: width of the convolutions, in time steps and in components.
        slope: of the arctangent; the increment stays within pi / (2 slope).

    Call arguments:
        gradient: [batch, time, component].
        memory: (last increment,), shaped as the gradient; zero to begin with.

    Returns:
        The increment, shaped as the gradient, and the new memory.
    """

    def __init__(
        self,
        filters: tuple[int, int] = (8, 16),
        kernel_size: int = 3,
        slope: float = 0.2,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.kernel_size = kernel_size
        self.slope = slope

    def build(self, gradient_shape, *_):
        """Create the convolutions."""
        self.layers = []
        channels = 2
        for filters in (*self.filters, 1):
            layer = PlaneConv(filters, self.kernel_size, dtype=self.dtype_policy)
            build_once(layer, (*gradient_shape, channels))
            self.layers.append(layer)
            channels = filters
        # As in `ConvCell`: before training, plain descent by a small step.
        self.correction = self.add_weight(shape=(), initializer="zeros", name="correction")
        self.step = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(FIRST_STEP), name="step"
        )

    def initial(self, first_guess):
        """No increment yet."""
        return (tf.zeros_like(first_guess),)

    def call(self, gradient, memory):
        """One update."""
        (last,) = memory
        first, second, third = self.layers
        hidden = tf.nn.relu(first(tf.stack([last, gradient], axis=-1)))
        hidden = tf.nn.relu(second(hidden))
        step = gradient + self.correction * third(hidden)[..., 0]
        step = tf.atan(self.slope * self.step * step) / self.slope
        return step, (step,)

    def get_config(self):
        """Filters, kernel and slope."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "slope": self.slope,
        }
