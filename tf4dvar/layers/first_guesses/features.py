"""What a learned first guess is told of every entry."""

import tensorflow as tf


def features(observations, mask, weighted):
    """Numbers of each entry, of order one: its value, whether it is observed, how well.

    Args:
        observations, mask: as of `FirstGuess`.
        weighted: whether the mask holds weights.
    """
    if not weighted:
        return [observations, mask]
    observed = mask > 0
    seen = tf.cast(observed, observations.dtype)
    return [observations, seen, tf.math.log(tf.where(observed, mask, 1.0)) / 2]


def count_of(weighted: bool) -> int:
    """How many `features` has.

    Args:
        weighted: as there.
    """
    return 3 if weighted else 2
