"""Reductions over the entries of a window, whatever its axes: [batch, time, *space, variable]."""

import tensorflow as tf

from tf4dvar.systems.axes import axes_but


def window_sum(values, keepdims: bool = False):
    """Sum over all axes but the first, [batch].

    Args:
        values: [batch, ...].
        keepdims: leave the other axes, of size 1.
    """
    return tf.reduce_sum(values, axes_but(0, values), keepdims=keepdims)


def window_mean(values, keepdims: bool = False):
    """Mean over all axes but the first, [batch].

    Args:
        values: [batch, ...].
        keepdims: leave the other axes, of size 1.
    """
    return tf.reduce_mean(values, axes_but(0, values), keepdims=keepdims)
