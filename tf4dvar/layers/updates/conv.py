"""The convolutional update."""

import keras
import tensorflow as tf

from tf4dvar.layers.contracts import Update

FIRST_STEP = 0.1


def _first_step(shape, dtype=None):
    """Plain descent by a small step, before training.

    A chaotic prior would blow up under random increments.
    """
    return FIRST_STEP * tf.eye(*shape[1:], dtype=dtype)[tf.newaxis]


@keras.saving.register_keras_serializable(package="tf4dvar")
class ConvCell(Update):
    """aG-Conv update (eq. 12): a CNN over the gradient and the last increment, bounded by atan.

        s = gradient + L C(gradient, last increment)
        increment = (1 / slope) atan(slope T s)

    C has three convolutions with ReLU between them, L and T are linear. About 4,300
    parameters for three components.

    Args:
        filters: channels of the two hidden convolutions, per component of the state.
        kernel_size: width of the convolutions, in time steps.
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
        *leading, components = gradient_shape
        self.layers = []
        channels = 2 * components
        for filters, kernel_size, initializer, name in (
            (self.filters[0] * components, self.kernel_size, "glorot_uniform", "first"),
            (self.filters[1] * components, self.kernel_size, "glorot_uniform", "second"),
            (components, self.kernel_size, "glorot_uniform", "third"),
            (components, 1, "zeros", "correction"),
            (components, 1, _first_step, "increment"),
        ):
            layer = keras.layers.Conv1D(
                filters,
                kernel_size,
                padding="same",
                use_bias=False,
                kernel_initializer=initializer,
                dtype=self.dtype_policy,
                name=name,
            )
            layer.build((*leading, channels))
            self.layers.append(layer)
            channels = filters

    def initial(self, first_guess):
        """No increment yet."""
        return (tf.zeros_like(first_guess),)

    def call(self, gradient, memory):
        """One update."""
        (last,) = memory
        first, second, third, correction, increment = self.layers
        hidden = tf.nn.relu(first(tf.concat([last, gradient], axis=-1)))
        hidden = tf.nn.relu(second(hidden))
        step = gradient + correction(third(hidden))
        step = tf.atan(self.slope * increment(step)) / self.slope
        return step, (step,)

    def get_config(self):
        """Filters, kernel and slope."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "slope": self.slope,
        }
