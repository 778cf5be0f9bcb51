"""A convolution as a matrix over a block of its outputs."""

import numpy as np
import tensorflow as tf


def banded(kernel, length):
    """B with B[i, :, o, :] = kernel[i - o], zero elsewhere.

    Args:
        kernel: [width, channels in, channels out].
        length: number of outputs o of the block; it sees length + width - 1 inputs i.

    Returns:
        [input, channels in, output, channels out].
    """
    width = kernel.shape[0]
    shifts = np.stack([np.eye(length + width - 1, length, -j) for j in range(width)])
    band = tf.tensordot(kernel, tf.constant(shifts, kernel.dtype), axes=[0, 0])
    return tf.transpose(band, (2, 0, 3, 1))
