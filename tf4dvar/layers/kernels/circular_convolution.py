"""A short convolution around a circle of components, as matrix products over blocks of them."""

import tensorflow as tf

from tf4dvar.layers.kernels.band import banded

# Components of a block at most: one product with a whole circulant matrix is fastest up to here,
# and grows with the square of their number beyond.
BLOCK = 48


def convolve_circle(rows, kernel):
    """y_{i, o} = sum_{j, c} kernel_{j, c, o} x_{c, i + j - R}, indices i periodic.

    Args:
        rows: x, [row, channel, component], of R components or more.
        kernel: [2 R + 1, channel, channel of the output].

    Returns:
        [row, channel of the output, component].
    """
    width, channels, filters = kernel.shape
    components = rows.shape[-1]
    reach = width // 2
    blocks = -(-components // BLOCK)
    length = -(-components // blocks)
    after = blocks * length - components + reach
    around = tf.concat([rows[..., components - reach :], rows, rows[..., :after]], axis=-1)
    seen = length + 2 * reach
    frames = tf.stack(
        [tf.slice(around, (0, 0, k * length), (-1, channels, seen)) for k in range(blocks)], axis=1
    )
    band = tf.transpose(banded(kernel, length), (1, 0, 3, 2))
    matrix = tf.reshape(band, (channels * seen, filters * length))
    output = tf.matmul(tf.reshape(frames, (-1, channels * seen)), matrix)
    by_block = tf.reshape(output, (-1, blocks, filters, length))
    by_filter = tf.reshape(tf.transpose(by_block, (0, 2, 1, 3)), (-1, filters, blocks * length))
    return tf.slice(by_filter, (0, 0, 0), (-1, filters, components))


def turned(kernel):
    """The kernel of the transpose."""
    return tf.transpose(tf.reverse(kernel, axis=[0]), (0, 2, 1))
