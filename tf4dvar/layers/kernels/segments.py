"""Between single times and blocks of them, for what works on a coarser scale of time."""

import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.kernels.times import first_times, last_times, pad_times, sizes


def to_blocks(state, length):
    """Cut the time axis into blocks; the last time is repeated to fill the last one.

    Args:
        state: [batch, time, *space, component].
        length: number of times of a block.

    Returns:
        [batch, block, length, *space, component].
    """
    missing = -tf.shape(state)[1] % length
    tail = tf.repeat(last_times(state, 1), missing, axis=1)
    return _cut(tf.concat([state, tail], axis=1), length)


def from_blocks(blocks, steps):
    """The inverse: [batch, block, length, *space, component] to the first `steps` times."""
    batch, count, length, *rest = sizes(blocks)
    return first_times(tf.reshape(blocks, (batch, count * length, *rest)), steps)


def padded_blocks(state, length):
    """The transpose of `from_blocks`: as `to_blocks`, the last block filled with zeros."""
    missing = -tf.shape(state)[1] % length
    return _cut(pad_times(state, 0, missing), length)


def overlapping(state, length):
    """Segments of `length` + 1 times, each of which ends where the next begins.

    Args:
        state: [batch, time, *space, component]; its last time is repeated to fill the last one.
        length: number of times from one to the next.

    Returns:
        [batch, segment, length + 1, *space, component], as many as `padded_blocks` has blocks.
    """
    steps = tf.shape(state)[1]
    starts = tf.range(0, steps, length)[:, tf.newaxis]
    return tf.gather(state, tf.minimum(starts + tf.range(length + 1), steps - 1), axis=1)


def _cut(state, length):
    batch, steps, *rest = sizes(state)
    return tf.reshape(state, (batch, steps // length, length, *rest))


def block_means(state, length):
    """Means over the blocks of `to_blocks`, [batch, block, *space, component]."""
    return tf.reduce_mean(to_blocks(state, length), axis=2)


def block_means_transposed(means, length, steps):
    """The transpose of `block_means`: [batch, block, *space, component] to `steps` times."""
    shares = tf.repeat(means / length, length, axis=1)
    repeated = last_times(shares, tf.shape(shares)[1] - steps + 1)
    end = tf.reduce_sum(repeated, axis=1, keepdims=True)
    return tf.concat([first_times(shares, steps - 1), end], axis=1)


def to_segments(state, length):
    """The times of a segment as channels, zeros filling the last one.

    Args:
        state: [batch, time, *space, component].
        length: number of times of a segment.

    Returns:
        [batch, segment, *space, component, length].
    """
    blocks = padded_blocks(state, length)
    return tf.transpose(blocks, (0, 1, *range(3, len(blocks.shape)), 2))


def from_segments(segments, steps):
    """The inverse: [batch, segment, *space, component, length] to the first `steps` times."""
    last = len(segments.shape) - 1
    return from_blocks(tf.transpose(segments, (0, 1, last, *range(2, last))), steps)


def to_channels(state, length):
    """As `to_segments`, the components of all times side by side.

    Args:
        state: [batch, time, *space, component].
        length: number of times of a segment.

    Returns:
        [batch, segment, *space, component * length].
    """
    segments = to_segments(state, length)
    *places, components, _ = sizes(segments)
    return tf.reshape(segments, (*places, components * length))


def from_channels(channels, length, steps):
    """The inverse: [batch, segment, *space, component * length] to the first `steps` times."""
    *places, last = sizes(channels)
    return from_segments(tf.reshape(channels, (*places, last // length, length)), steps)


def check_segment(segment: int) -> None:
    """Refuse what is no number of times.

    Args:
        segment: length of a segment.
    """
    if isinstance(segment, bool) or int(segment) != segment or segment < 1:
        raise InputError(f"Received segment={segment}; expected a number of times of 1 or more.")
