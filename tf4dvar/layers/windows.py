"""Reductions over the entries of a window, whatever its axes: [batch, time, *space, variable]."""

import tensorflow as tf

from tf4dvar.systems.axes import axes_but

# A smaller root mean square is a window at rest, whose gradient is left as it is: divided by
# next to nothing, its derivatives would overflow.
AT_REST = 1e-8


def window_sum(values, keepdims: bool = False):
    """Sum over all axes but the first, [batch].

    Args:
        values: [batch, ...].
        keepdims: leave the other axes, of size 1.
    """
    return tf.reduce_sum(values, axes_but(0, values), keepdims=keepdims)


def window_mean(values, keepdims: bool = False, sea=None):
    """Mean over all axes but the first, [batch]; 0 of what is all land.

    Args:
        values: [batch, time, *space, variable], of a field 0 on land.
        keepdims: leave the other axes, of size 1.
        sea: 1 at sea and 0 on land, [batch, 1, *space, 1]; None where there is no land.
    """
    if sea is None:
        return tf.reduce_mean(values, axes_but(0, values), keepdims=keepdims)
    return window_sum(values, keepdims=keepdims) / entries(values, sea, keepdims)


def over_root(mean_square):
    """One by the root of a window's mean square; 1 of a window at rest.

    Args:
        mean_square: of `window_mean`.
    """
    at_rest = tf.ones_like(mean_square)
    return tf.math.rsqrt(tf.where(mean_square > AT_REST**2, mean_square, at_rest))


def entries(values, sea=None, keepdims: bool = False):
    """How many entries of a window count, [batch], 1 at least; one number where there is no land.

    Args:
        values, sea, keepdims: as for `window_mean`.
    """
    if sea is None:
        return tf.cast(tf.size(values[0]), values.dtype)
    return tf.maximum(window_sum(tf.ones_like(values) * sea, keepdims=keepdims), 1.0)


def at_sea(values, sea):
    """The values, 0 on land whatever they are there.

    Args:
        values, sea: as for `window_mean`.
    """
    return values if sea is None else tf.where(sea > 0, values, tf.zeros_like(values))
