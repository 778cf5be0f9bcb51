"""Reductions over the entries of a window, whatever its axes: [batch, time, *space, variable]."""

import tensorflow as tf


def window_sum(values):
    """Sum over all axes but the first, [batch].

    Args:
        values: [batch, ...].
    """
    return tf.reduce_sum(values, axis=range(1, len(values.shape)))


def window_mean(values, keepdims: bool = False):
    """Mean over all axes but the first, [batch].

    Args:
        values: [batch, ...].
        keepdims: leave the other axes, of size 1.
    """
    return tf.reduce_mean(values, axis=range(1, len(values.shape)), keepdims=keepdims)
