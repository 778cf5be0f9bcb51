"""A wide convolution over time and the components of a system on a circle, and its transpose."""

import tensorflow as tf

from tf4dvar.layers.kernels.convolution import convolve


class PeriodicConvolution:
    """A convolution of one channel, zero beyond the window and periodic in the components.

    Its outputs of single values are rows of one matrix.

    Args:
        kernel: [2 R + 1 times, 2 R + 1 components, 1, filters].
        state_shape: [batch, time, component], the first two as scalar tensors.
    """

    def __init__(self, kernel, state_shape):
        self.kernel = kernel
        self.state_shape = state_shape
        self.reach = kernel.shape[0] // 2

    def __call__(self, state):
        """[batch, time, component] to [row, filters]."""
        return self.padded(convolve(state[..., tf.newaxis], self.kernel, ("periodic",)))

    def transposed(self, gradient):
        """The transpose: [row, filters] to [batch, time, component]."""
        batch, steps, components = self.state_shape
        reach = self.reach
        around = tf.nn.conv2d_transpose(
            self.cropped(gradient),
            self.kernel,
            (batch, steps, components + 2 * reach, 1),
            strides=1,
            padding=[[0, 0], [reach, reach], [0, 0], [0, 0]],
        )[..., 0]
        before, inside, after = tf.split(around, [reach, components, reach], axis=-1)
        rest = components - reach
        return (
            inside
            + tf.pad(before, [[0, 0], [0, 0], [rest, 0]])
            + tf.pad(after, [[0, 0], [0, 0], [0, rest]])
        )

    def cropped(self, rows):
        """[row, channels] to [batch, time, component, channels]."""
        return tf.reshape(rows, (*self.state_shape, rows.shape[-1]))

    def padded(self, values):
        """The inverse and transpose of `cropped`."""
        return tf.reshape(values, (-1, values.shape[-1]))
