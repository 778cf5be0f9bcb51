"""Fields as sums of waves in time and space."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

# What does not repeat is a part of something that does and is this longer, so that its ends are far
# from each other. The longer, the more waves, and the slower is what nothing was seen of.
EXTENT = 1.5


class Axis(NamedTuple):
    """The waves along one axis.

    Attributes:
        frequencies: radians a step, [wave].
        turned: multiplication by exp(i frequency n) as a matrix, [point, wave, from, to] real or
            imaginary.
    """

    frequencies: Any
    turned: Any


def axis_of(points, shortest: float, periodic: bool, half: bool, dtype) -> Axis:
    """The waves along an axis.

    Args:
        points: their number, which may be a tensor.
        shortest: steps of the shortest wave.
        periodic: whether the axis repeats.
        half: whether waves of negative frequencies are left out.
        dtype: of the result.
    """
    period = tf.cast(points, dtype) * (1 if periodic else EXTENT)
    highest = tf.floor(period / tf.cast(shortest, dtype))
    numbers = tf.range(0.0 if half else -highest, highest + 0.5, dtype=dtype)
    frequencies = tf.constant(2 * np.pi, dtype) / period * numbers
    phases = tf.cast(tf.range(points), dtype)[:, tf.newaxis] * frequencies
    real, imaginary = tf.cos(phases), tf.sin(phases)
    rows = [tf.stack(row, axis=-1) for row in ((real, imaginary), (-imaginary, real))]
    return Axis(frequencies, tf.stack(rows, axis=-2))


def frequencies_of(axes: Sequence[Axis]) -> list:
    """The frequencies along every axis, broadcastable to all waves, [*wave]."""
    count = len(axes)
    return [
        tf.reshape(axis.frequencies, [-1 if other == number else 1 for other in range(count)])
        for number, axis in enumerate(axes)
    ]


def superposed(amplitudes, axes: Sequence[Axis]):
    """The sum of waves: the real part of amplitude * exp(i (frequencies . position)).

    Args:
        amplitudes: [batch, variable, *wave, real or imaginary].
        axes: of each of the waves' axes; of the last one half.

    Returns:
        [batch, variable, *point].
    """
    *others, last = axes
    for number, axis in enumerate(others, start=2):
        # [wave, point, real or imaginary of the wave, of what it is at the point]
        amplitudes = _contracted(amplitudes, axis.turned, number, (1, 2))
    return tf.tensordot(amplitudes, last.turned[..., 0], [(-2, -1), (1, 2)])


def superposed_transposed(fields, axes: Sequence[Axis]):
    """The transpose of `superposed`, from [batch, variable, *point].

    Args:
        fields: of that shape.
        axes: as there.
    """
    *others, last = axes
    amplitudes = tf.tensordot(fields, last.turned[..., 0], [(-1,), (0,)])
    for number, axis in reversed([*enumerate(others, start=2)]):
        amplitudes = _contracted(amplitudes, axis.turned, number, (0, 3))
    return amplitudes


def _contracted(values, matrix, number, inner):
    """Values summed along an axis and the last one, which the matrix puts others in place of."""
    last = len(values.shape) - 1
    product = tf.tensordot(values, matrix, [(number, last), inner])
    # Both stand at the end.
    return tf.transpose(product, (*range(number), last - 1, *range(number, last - 1), last))
