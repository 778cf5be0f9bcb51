"""Between single times and blocks of them, for what works on a coarser scale of time."""

import tensorflow as tf

from tf4dvar.layers.times import first_times, last_times


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
