"""Parts of the time axis, and of others.

Taken by `tf.slice`, of which the gradient is a padding; that of `state[:, a:b]` costs several
times more, in every iteration of a solver.
"""

import tensorflow as tf


def times(state, start, count):
    """The `count` times from `start` on of [batch, time, ...]."""
    return part(state, 1, start, count)


def part(values, axis, start, count):
    """The `count` entries from `start` on along an axis."""
    starts, counts = [0] * len(values.shape), [-1] * len(values.shape)
    starts[axis], counts[axis] = start, count
    taken = tf.slice(values, starts, counts)
    shape = list(values.shape)
    shape[axis] = count if isinstance(count, int) and count >= 0 else None
    taken.set_shape(shape)
    return taken


def first_times(state, count):
    """The first `count` times of [batch, time, ...]."""
    return times(state, 0, count)


def last_times(state, count):
    """The last `count` times of [batch, time, ...]."""
    return times(state, tf.shape(state)[1] - count, count)


def pad_times(state, before, after):
    """Zeros before and after the times of [batch, time, ...]."""
    return tf.pad(state, [[0, 0], [before, after], *[[0, 0]] * (len(state.shape) - 2)])


def sizes(values):
    """The size of every axis, a scalar tensor where it is not known beforehand."""
    known, found = values.shape, tf.unstack(tf.shape(values))
    return [size if size is not None else found[axis] for axis, size in enumerate(known)]
