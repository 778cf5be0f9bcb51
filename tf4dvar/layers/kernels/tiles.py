"""The points of a tile as channels of one place."""

import tensorflow as tf

from tf4dvar.layers.kernels.times import sizes


def to_tiles(values, side: int):
    """The points of a tile as channels, zeros beyond the last ones.

    Args:
        values: [batch, time, *space, channel].
        side: points of a tile along every axis of space.

    Returns:
        [batch, time, *tiles of space, channel * points of a tile].
    """
    last = len(values.shape) - 1
    batch, time, *space, channels = sizes(values)
    padding = [[0, -points % side] for points in space]
    values = tf.pad(values, [[0, 0], [0, 0], *padding, [0, 0]])
    split = [part for points in space for part in (-(-points // side), side)]
    values = tf.reshape(values, (batch, time, *split, channels))
    tiles, points = range(2, 2 * last - 2, 2), range(3, 2 * last - 2, 2)
    values = tf.transpose(values, (0, 1, *tiles, len(values.shape) - 1, *points))
    count = channels * side ** len(space)
    return tf.reshape(values, (batch, time, *split[::2], count))


def from_tiles(tiles, side: int, like):
    """The inverse of `to_tiles`.

    Args:
        tiles: as it returns them.
        side: as there.
        like: [batch, time, *space, ...], of the sizes that are wanted.
    """
    batch, time, *space, channels = sizes(tiles)
    rank = len(space)
    values = tf.reshape(tiles, (batch, time, *space, channels // side**rank, *[side] * rank))
    pairs = [axis for number in range(rank) for axis in (2 + number, 3 + rank + number)]
    values = tf.transpose(values, (0, 1, *pairs, 2 + rank))
    values = tf.reshape(
        values, (batch, time, *[points * side for points in space], channels // side**rank)
    )
    wanted = tuple(slice(points) for points in sizes(like)[2 : 2 + rank])
    return values[(slice(None), slice(None), *wanted)]
