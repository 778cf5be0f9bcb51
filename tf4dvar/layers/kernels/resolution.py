"""Between a grid and one of half its resolution."""

from collections.abc import Sequence

import tensorflow as tf

from tf4dvar.layers.kernels.convolution import extended, extended_transposed
from tf4dvar.layers.kernels.times import part, sizes


def coarsened(values):
    """Means of two neighbours along every axis of space; a last one without a neighbour stays.

    Args:
        values: [batch, time, *space, channel].

    Returns:
        [batch, time, *half of space, channel].
    """
    for axis in range(2, len(values.shape) - 1):
        count = sizes(values)[axis]
        shape = (*sizes(values)[:axis], (count + 1) // 2, 2, *sizes(values)[axis + 1 :])
        if not _is_even(count):
            # Its own neighbour.
            alone = part(values, axis, count - count % 2, count % 2)
            values = tf.concat([values, alone], axis)
        values = tf.reduce_mean(tf.reshape(values, shape), axis + 1)
    return values


def _is_even(count):
    """Of a size that is known beforehand: it has no last one without a neighbour."""
    return isinstance(count, int) and count % 2 == 0


def coarsened_transposed(gradient, like):
    """The transpose of `coarsened`: half of each mean to both of its neighbours.

    Args:
        gradient: [batch, time, *half of space, channel].
        like: [batch, time, *space, ...], of the sizes that are wanted.

    Returns:
        [batch, time, *space, channel].
    """
    for axis in range(2, len(gradient.shape) - 1):
        count = sizes(like)[axis]
        both = tf.repeat(gradient / 2, 2, axis)
        if _is_even(count):
            gradient = both
            continue
        # The second half of a last one without a neighbour.
        beyond = part(both, axis, count, count % 2)
        widths = [[0, 0]] * len(both.shape)
        widths[axis] = [count - count % 2, 0]
        gradient = part(both, axis, 0, count) + tf.pad(beyond, widths)
    return gradient


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
        around, shape = extended(values, axis, 1, boundary), sizes(values)
        sides = part(around, axis, 0, shape[axis]), part(around, axis, 2, shape[axis])
        halves = tf.stack([0.75 * values + 0.25 * side for side in sides], axis + 1)
        shape[axis] *= 2
        values, wanted = tf.reshape(halves, shape), sizes(like)[axis]
        if not _is_even(wanted):
            values = part(values, axis, 0, wanted)
    return values


def refined_transposed(gradient, boundaries: Sequence[str], like):
    """The transpose of `refined`.

    Args:
        gradient: [batch, time, *space, channel].
        boundaries: as of `refined`.
        like: [batch, time, *half of space, ...], of the sizes that are wanted.

    Returns:
        [batch, time, *half of space, channel].
    """
    for axis, boundary in reversed([*enumerate(boundaries, start=2)]):
        count, shape = sizes(like)[axis], sizes(gradient)
        widths = [[0, 0]] * len(gradient.shape)
        widths[axis] = [0, 2 * count - shape[axis]]
        shape[axis : axis + 1] = [count, 2]
        first, second = tf.unstack(tf.reshape(tf.pad(gradient, widths), shape), axis=axis + 1)
        before, after = [[0, 0]] * len(first.shape), [[0, 0]] * len(first.shape)
        before[axis], after[axis] = [0, 2], [2, 0]
        around = tf.pad(0.25 * first, before) + tf.pad(0.25 * second, after)
        gradient = 0.75 * (first + second) + extended_transposed(around, axis, 1, boundary)
    return gradient
