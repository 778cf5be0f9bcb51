"""What a learned first guess is told of every entry."""

import tensorflow as tf


def features(observations, mask, weighted, background):
    """Numbers of each entry, of order one: its value, whether it is observed, how well.

    Args:
        observations, mask: as of `FirstGuess`.
        weighted: whether the mask holds weights.
        background: as there, or None.
    """
    more = [] if background is None else [background]
    if not weighted:
        return [observations, mask, *more]
    observed = mask > 0
    seen = tf.cast(observed, observations.dtype)
    noise = tf.math.log(tf.where(observed, mask, tf.ones_like(mask))) / 2
    return [observations, seen, noise, *more]


def count_of(weighted: bool) -> int:
    """How many `features` has.

    Args:
        weighted: as there.
    """
    return 3 if weighted else 2
