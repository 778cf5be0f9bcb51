"""Between a grid and one of half its resolution."""

from collections.abc import Sequence

import tensorflow as tf

from tf4dvar.layers.kernels.convolution import extended
from tf4dvar.layers.kernels.times import sizes


def coarsened(values):
    """Means of two neighbours along every axis of space; a last one without a neighbour stays.

    Args:
        values: [batch, time, *space, channel].

    Returns:
        [batch, time, *half of space, channel].
    """
    for axis in range(2, len(values.shape) - 1):
        others, count = (slice(None),) * axis, sizes(values)[axis]
        # Its own neighbour.
        alone = values[(*others, slice(count - count % 2, None))]
        shape = (*sizes(values)[:axis], (count + 1) // 2, 2, *sizes(values)[axis + 1 :])
        values = tf.reduce_mean(tf.reshape(tf.concat([values, alone], axis), shape), axis + 1)
    return values


def refined(values, boundaries: Sequence[str], like):
    """Linear interpolation to twice the resolution along every axis of space.

    A value is at the centre of the two that it was the mean of: each of them is three quarters of
    it and one of the neighbour on its side.

    Args:
        values: [batch, time, *half of space, channel].
        boundaries: one for each axis of space; see `Convolution`.
        like: [batch, time, *space, ...], of the sizes that are wanted.

    Returns:
        [batch, time, *space, channel].
    """
    for axis, boundary in enumerate(boundaries, start=2):
        around, others = extended(values, axis, 1, boundary), (slice(None),) * axis
        sides = around[(*others, slice(None, -2))], around[(*others, slice(2, None))]
        halves = tf.stack([0.75 * values + 0.25 * side for side in sides], axis + 1)
        shape = sizes(values)
        shape[axis] *= 2
        values = tf.reshape(halves, shape)[(*others, slice(sizes(like)[axis]))]
    return values
