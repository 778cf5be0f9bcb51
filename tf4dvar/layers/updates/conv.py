"""The convolutional update."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf4dvar.layers.updates.convolutional import ConvolutionalUpdate
from tf4dvar.layers.windows import over_root, window_mean


@keras.saving.register_keras_serializable(package="tf4dvar")
class ConvCell(ConvolutionalUpdate):
    """aG-Conv update (eq. 12): a CNN over the gradient and the last increment, bounded by atan.

        g = gradient / its root mean square over the window
        s = g + L C(g, last increment)
        increment = (1 / slope) atan(slope T s)

    C has three convolutions with ReLU between them; L and T are linear maps of single times and
    places, at first zero and a small number: plain descent, as a chaotic prior would blow up under
    random increments. About 4,300 parameters for three components; 2,400 for a circle of any number
    of them, 1,400 of them with filters=(8, 16) and a kernel of 3.

    An LSTM has a memory by which it goes on where gradients have become small; a CNN sees what is
    left of them, and is given it by its own size: no window's gradient, however large, makes a
    larger step.

    Args:
        filters: channels of the two hidden convolutions, per variable of the state and time of a
            segment.
        kernel_size: odd width of the convolutions, in time steps and along every axis of space.
        slope: of the arctangent; the increment stays within pi / (2 slope).
        first_step: step of the descent before training, in deviations.
        boundary: what lies beyond the edges of space; see `Convolution`.
        circle: the components are one variable on a circle, not several variables: the
            convolutions are over them too, and periodic.
        segment: the times of a segment of so many are channels, and the convolutions are over
            space alone. For fields: with the length of the windows it is many times cheaper. By
            default the convolutions are over time too.

    Call arguments:
        gradient: [batch, time, *space, variable]; of a circle, [batch, time, component].
        memory: (last increment,), shaped as the gradient; zero to begin with.

    Returns:
        The increment, shaped as the gradient, and the new memory.
    """

    def __init__(
        self,
        filters: tuple[int, int] = (6, 12),
        kernel_size: int = 5,
        slope: float = 0.2,
        first_step: float = 0.05,
        boundary: str | Sequence[str] = "zero",
        circle: bool = False,
        segment: int | None = None,
        **kwargs,
    ):
        super().__init__(kernel_size, boundary, circle, segment, **kwargs)
        self.filters = tuple(filters)
        self.slope = slope
        self.first_step = first_step

    def build(self, gradient_shape, *_):
        """Create the convolutions."""
        *places, variables = self.shape_with_channels(gradient_shape)
        first, second = (variables * filters for filters in self.filters)
        self.layers = [
            self.convolution((*places, channels), filters, size, kernel_initializer=initializer)
            for channels, filters, size, initializer in (
                (2 * variables, first, self.kernel_size, "glorot_uniform"),
                (first, second, self.kernel_size, "glorot_uniform"),
                (second, variables, self.kernel_size, "glorot_uniform"),
                (variables, variables, 1, "zeros"),
                (variables, variables, 1, self._descent),
            )
        ]

    def _descent(self, shape, dtype=None):
        return tf.reshape(self.first_step * tf.eye(shape[-1], dtype=dtype), shape)

    def initial(self, first_guess):
        """No increment yet."""
        return (tf.zeros_like(first_guess),)

    def call(self, gradient, memory):
        """One update."""
        last, current = map(self.with_channels, (*memory, of_size_one(gradient)))
        first, second, third, correction, increment = self.layers
        hidden = tf.nn.relu(first(tf.concat([last, current], axis=-1)))
        hidden = tf.nn.relu(second(hidden))
        step = current + correction(third(hidden))
        step = self.without_channels(tf.atan(self.slope * increment(step)) / self.slope, gradient)
        return step, (step,)


def of_size_one(gradient):
    """By its root mean square over the window; as it is where the window is at rest.

    Args:
        gradient: [batch, time, *space, variable].
    """
    precise = tf.cast(gradient, tf.float64 if gradient.dtype == tf.float64 else tf.float32)
    precise *= over_root(window_mean(tf.square(precise), keepdims=True))
    return tf.cast(precise, gradient.dtype)
