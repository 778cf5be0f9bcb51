"""A first guess by interpolation."""

import keras
import tensorflow as tf

from tf4dvar.layers.contracts import FirstGuess
from tf4dvar.layers.precise_layer import PreciseLayer


@keras.saving.register_keras_serializable(package="tf4dvar")
class LinearInterpolation(PreciseLayer, FirstGuess):
    """Linear interpolation in time of what was observed, constant beyond the ends.

    A component without an observation in the window is 0, its mean in normalised units.

    Args:
        beyond: a value, in normalised units, before a component's first observation and after its
            last, and where it has none, in place of these.

    Call arguments:
        observations: [batch, time, *space, variable], 0 where not observed.
        mask: same shape, 1 where observed, else 0.

    Returns:
        The first guess x0, same shape.
    """

    of_observations = True

    def __init__(self, beyond: float | None = None, **kwargs):
        super().__init__(**kwargs)
        self.beyond = beyond

    def call(self, observations, mask):
        """Interpolate between the neighbouring observations of every time."""
        (left, right), (elapsed, span), any_observed = neighbours_in_time(observations, mask)
        guess = left + (right - left) * tf.math.divide_no_nan(elapsed, span)
        if self.beyond is None:
            return times_second(tf.where(any_observed, guess, 0.0))
        inside = any_observed & ((span > 0) | (elapsed == 0))
        return times_second(tf.where(inside, guess, tf.cast(self.beyond, guess.dtype)))


def neighbours_in_time(observations, mask):
    """The observations before and after every time, which is the last axis of all that follows.

    Beyond the first and the last both are that one; where there is none they mean nothing.

    Args:
        observations, mask: as for a first guess.

    Returns:
        The values before and after; the time since the former, and between the two; whether there
        is any in the window, [batch, *space, variable, 1].
    """
    # Along the last axis, the observed times come first and in their order; the rank of a
    # time among them then points at its neighbours.
    rows = len(observations.shape) - 1
    time_last = (0, *range(2, rows + 1), 1)
    values = tf.transpose(observations, time_last)
    observed = tf.transpose(mask, time_last) > 0
    steps = tf.shape(values)[-1]
    times = tf.broadcast_to(tf.range(steps), tf.shape(values))
    order = tf.argsort(tf.where(observed, times, times + steps), axis=-1)
    count = tf.reduce_sum(tf.cast(observed, tf.int32), axis=-1, keepdims=True)
    rank = tf.cumsum(tf.cast(observed, tf.int32), axis=-1)
    last = tf.maximum(count - 1, 0)
    following = tf.where(observed, rank - 1, tf.minimum(rank, last))
    before = tf.gather(order, tf.clip_by_value(rank - 1, 0, last), batch_dims=rows)
    after = tf.gather(order, following, batch_dims=rows)
    span = tf.cast(after - before, values.dtype)
    elapsed = tf.cast(times - before, values.dtype)
    left = tf.gather(values, before, batch_dims=rows)
    right = tf.gather(values, after, batch_dims=rows)
    return (left, right), (elapsed, span), count > 0


def times_second(values):
    """[batch, *space, variable, time] to [batch, time, *space, variable]."""
    last = len(values.shape) - 1
    return tf.transpose(values, (0, last, *range(1, last)))
