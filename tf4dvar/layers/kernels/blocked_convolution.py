"""A wide convolution of few channels, as matrix products over blocks of time steps."""

import tensorflow as tf

from tf4dvar.layers.kernels.band import banded
from tf4dvar.layers.kernels.times import first_times, pad_times, times


class BlockedConvolution:
    """A convolution over time, zero beyond the ends, and its transpose.

    The kernel is 2 R + 1 steps wide. A block of R steps sees itself and its two neighbours, and
    nothing else: the convolution is one matrix product of three blocks at a time with a banded
    matrix. It does 15/11 of the arithmetic for R = 5, at several times the speed of a product
    that is three channels deep. The blocks stay in the order of time, so that the output's
    channels of single times are rows of one matrix.

    Args:
        kernel: [2 R + 1, channels in, channels out].
        steps: length of the windows, a scalar tensor.
    """

    def __init__(self, kernel, steps):
        width, self.channels, self.filters = kernel.shape
        self.radius = width // 2
        self.steps = steps
        self.blocks = -(-steps // self.radius)
        self.matrix = tf.reshape(
            banded(kernel, self.radius),
            (3 * self.radius * self.channels, self.radius * self.filters),
        )

    def __call__(self, state):
        """[batch, time, channels in] to [batch * padded time, channels out]."""
        missing = self.blocks * self.radius - self.steps
        padded = pad_times(state, self.radius, self.radius + missing)
        blocks = tf.reshape(padded, (-1, self.blocks + 2, self.radius * self.channels))
        frames = tf.concat([times(blocks, k, self.blocks) for k in range(3)], axis=2)
        output = tf.matmul(tf.reshape(frames, (-1, frames.shape[-1])), self.matrix)
        return tf.reshape(output, (-1, self.filters))

    def transposed(self, gradient):
        """The transpose: [batch * padded time, channels out] to [batch, time, channels in]."""
        gradient = tf.reshape(gradient, (-1, self.radius * self.filters))
        frames = tf.matmul(gradient, self.matrix, transpose_b=True)
        width = self.radius * self.channels
        before, here, after = tf.split(tf.reshape(frames, (-1, self.blocks, 3 * width)), 3, axis=2)
        blocks = pad_times(before, 0, 2) + pad_times(here, 1, 1) + pad_times(after, 2, 0)
        padded = tf.reshape(blocks, (-1, (self.blocks + 2) * self.radius, self.channels))
        return times(padded, self.radius, self.steps)

    def cropped(self, rows):
        """[batch * padded time, channels] to [batch, time, channels]."""
        padded = tf.reshape(rows, (-1, self.blocks * self.radius, rows.shape[-1]))
        return first_times(padded, self.steps)

    def padded(self, state):
        """The transpose of `cropped`."""
        missing = self.blocks * self.radius - self.steps
        rows = pad_times(state, 0, missing)
        return tf.reshape(rows, (-1, state.shape[-1]))
