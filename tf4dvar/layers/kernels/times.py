"""Parts of the time axis.

Taken by `tf.slice`, of which the gradient is a padding; that of `state[:, a:b]` costs several
times more, in every iteration of a solver.
"""

import tensorflow as tf


def times(state, start, count):
    """The `count` times from `start` on of [batch, time, ...]."""
    others = len(state.shape) - 2
    part = tf.slice(state, (0, start, *[0] * others), (-1, count, *[-1] * others))
    part.set_shape((state.shape[0], None, *state.shape[2:]))
    return part


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
