"""A convolution over time and space, and its transpose."""

from collections.abc import Sequence

import tensorflow as tf

from tf4dvar.layers.kernels.convolution import convolve, convolve_transposed
from tf4dvar.layers.kernels.times import sizes


class FieldConvolution:
    """A convolution of a field, and its transpose, in the form of `BlockedConvolution`.

    Its outputs of single times and places are rows of one matrix.

    Args:
        kernel: [width in time, width along each axis of space, channels in, channels out].
        boundaries: one for each axis of space; see `Convolution`.
        state: what it is of, [batch, time, *space, channels in].
    """

    def __init__(self, kernel, boundaries: Sequence[str], state):
        self.kernel = kernel
        self.boundaries = boundaries
        self.state = state

    def __call__(self, state):
        """[batch, time, *space, channels in] to [row, channels out]."""
        return self.padded(convolve(state, self.kernel, self.boundaries))

    def transposed(self, gradient):
        """The transpose: [row, channels out] to [batch, time, *space, channels in]."""
        return convolve_transposed(self.cropped(gradient), self.kernel, self.boundaries)

    def cropped(self, rows):
        """[row, channels] to [batch, time, *space, channels]."""
        return tf.reshape(rows, (*sizes(self.state)[:-1], rows.shape[-1]))

    def padded(self, values):
        """The inverse and transpose of `cropped`."""
        return tf.reshape(values, (-1, values.shape[-1]))
