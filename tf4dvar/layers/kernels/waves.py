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
    for number, axis in enumerate(others):
        kept, summed, made = _letters(axes, number)
        amplitudes = tf.einsum(
            f"{kept.format(summed)}p,{made}{summed}pq->{kept.format(made)}q",
            amplitudes,
            axis.turned,
        )
    kept, summed, made = _letters(axes, len(others))
    real = last.turned[..., 0]
    return tf.einsum(
        f"{kept.format(summed)}p,{made}{summed}p->{kept.format(made)}", amplitudes, real
    )


def superposed_transposed(fields, axes: Sequence[Axis]):
    """The transpose of `superposed`, from [batch, variable, *point].

    Args:
        fields: of that shape.
        axes: as there.
    """
    *others, last = axes
    kept, made, summed = _letters(axes, len(others))
    real = last.turned[..., 0]
    amplitudes = tf.einsum(
        f"{kept.format(summed)},{summed}{made}p->{kept.format(made)}p", fields, real
    )
    for number, axis in reversed(list(enumerate(others))):
        kept, made, summed = _letters(axes, number)
        amplitudes = tf.einsum(
            f"{kept.format(summed)}q,{summed}{made}pq->{kept.format(made)}p",
            amplitudes,
            axis.turned,
        )
    return amplitudes


def _letters(axes, number):
    """The axes of an einsum with a place for one of them, and its letters as wave and point."""
    letters = "abcdefgh"[: len(axes)]
    return f"yz{letters[:number]}{{}}{letters[number + 1 :]}", letters[number], "x"
