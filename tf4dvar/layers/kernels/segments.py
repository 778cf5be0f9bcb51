"""Between single times and blocks of them, for what works on a coarser scale of time."""

import tensorflow as tf

from tf4dvar.layers.kernels.times import first_times, last_times, pad_times


def to_blocks(state, length):
    """Cut the time axis into blocks; the last time is repeated to fill the last one.

    Args:
        state: [batch, time, component].
        length: number of times of a block.

    Returns:
        [batch, block, length, component].
    """
    batch, steps = tf.unstack(tf.shape(state)[:2])
    missing = -steps % length
    tail = tf.repeat(last_times(state, 1), missing, axis=1)
    shape = (batch, (steps + missing) // length, length, state.shape[-1])
    return tf.reshape(tf.concat([state, tail], axis=1), shape)


def from_blocks(blocks, steps):
    """The inverse: [batch, block, length, component] to the first `steps` times."""
    batch, count = tf.unstack(tf.shape(blocks)[:2])
    length, components = blocks.shape[2:]
    return first_times(tf.reshape(blocks, (batch, count * length, components)), steps)


def padded_blocks(state, length):
    """The transpose of `from_blocks`: as `to_blocks`, the last block filled with zeros."""
    batch, steps = tf.unstack(tf.shape(state)[:2])
    missing = -steps % length
    padded = pad_times(state, 0, missing)
    return tf.reshape(padded, (batch, (steps + missing) // length, length, state.shape[-1]))


def block_means(state, length):
    """Means over the blocks of `to_blocks`, [batch, block, component]."""
    return tf.reduce_mean(to_blocks(state, length), axis=2)


def block_means_transposed(means, length, steps):
    """The transpose of `block_means`: [batch, block, component] to `steps` times."""
    shares = tf.repeat(means / length, length, axis=1)
    repeated = last_times(shares, tf.shape(shares)[1] - steps + 1)
    end = tf.reduce_sum(repeated, axis=1, keepdims=True)
    return tf.concat([first_times(shares, steps - 1), end], axis=1)


def to_segments(state, length):
    """The times of a segment as channels, zeros filling the last one.

    Args:
        state: [batch, time, component].
        length: number of times of a segment.

    Returns:
        [batch, segment, component, length].
    """
    return tf.transpose(padded_blocks(state, length), (0, 1, 3, 2))


def from_segments(segments, steps):
    """The inverse: [batch, segment, component, length] to the first `steps` times."""
    return from_blocks(tf.transpose(segments, (0, 1, 3, 2)), steps)
