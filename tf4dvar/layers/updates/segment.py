"""A wide update over segments of time and the components of a system on a circle."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once, check_series
from tf4dvar.layers.contracts import Update
from tf4dvar.layers.kernels.convolution import Convolution
from tf4dvar.layers.kernels.periodic_block import PeriodicBlock
from tf4dvar.layers.kernels.segments import from_segments, to_segments


@keras.saving.register_keras_serializable(package="tf4dvar")
class SegmentCell(Update):
    """Residual update that sees the state beside the gradient, on segments of a few times.

        h <- block(h + relu(conv([x, gradient])));    increment = dense(h)

    The times of a segment are channels here: there are as many fewer places, and one iteration
    reaches as many more times, at which a wide h is affordable. The components lie on a circle. The
    last map begins at zero, so that an untrained solver leaves its first guess as it is.

    Args:
        segment: number of times of a segment; zeros fill the last one.
        width: channels of h.

    Call arguments:
        gradient: [batch, time, component].
        memory: (x, h): the state that the gradient was taken at, shaped as the gradient, and
            h, [batch, segment, component, width]; the first guess and zeros to begin with.

    Returns:
        The increment, shaped as the gradient, and the new memory.
    """

    def __init__(self, segment: int = 4, width: int = 48, **kwargs):
        super().__init__(**kwargs)
        self.segment = segment
        self.width = width

    def build(self, gradient_shape, *_):
        """Create the convolutions."""
        check_series(self, gradient_shape)
        places = (None, None, gradient_shape[-1])
        kwargs = {"dtype": self.dtype_policy}
        self.enter = Convolution(self.width, boundary="periodic", use_bias=True, **kwargs)
        self.block = PeriodicBlock(self.width, **kwargs)
        self.leave = keras.layers.Dense(
            self.segment, use_bias=False, kernel_initializer="zeros", **kwargs
        )
        build_once(self.enter, (*places, 2 * self.segment))
        for layer in (self.block, self.leave):
            build_once(layer, (*places, self.width))

    def initial(self, first_guess):
        """The first guess, and zeros for every segment and component."""
        segments = to_segments(first_guess, self.segment)[..., :1]
        return first_guess, tf.repeat(tf.zeros_like(segments), self.width, axis=-1)

    def call(self, gradient, memory):
        """One update."""
        state, hidden = memory
        segments = [to_segments(values, self.segment) for values in (state, gradient)]
        entry = tf.nn.relu(self.enter(tf.concat(segments, axis=-1)))
        hidden = self.block(hidden + entry)
        increment = from_segments(self.leave(hidden), tf.shape(gradient)[1])
        return increment, (state - increment, hidden)
