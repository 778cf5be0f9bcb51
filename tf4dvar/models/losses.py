"""The two training losses of the paper."""

import tensorflow as tf


def supervised_loss(state, truth):
    """Mean squared error of the reconstruction (eq. 14, averaged).

    Args:
        state, truth: [batch, time, component], normalised. An entry of `truth` that is NaN is
            not known and does not count.
    """
    known = tf.math.is_finite(truth)
    error = tf.where(known, state - tf.where(known, truth, 0.0), 0.0)
    return tf.math.divide_no_nan(
        tf.reduce_sum(tf.square(error)), tf.reduce_sum(tf.cast(known, error.dtype))
    )


def unsupervised_loss(state, observations, mask, prior, observation_weight, prior_weight):
    """Variational cost of the reconstruction under fixed weights (eq. 13, averaged).

    The weights are not those of the solver's cost: those are learned, and would shrink to
    nothing if they were to be their own judge.

    Args:
        state, observations, mask: [batch, time, component], normalised.
        prior: Phi, in normalised units.
        observation_weight, prior_weight: lambda_1 and lambda_2.
    """
    observed = tf.reduce_sum(mask, axis=(1, 2))
    misfit = tf.reduce_sum(tf.square((state - observations) * mask), axis=(1, 2))
    observation_term = tf.reduce_mean(tf.math.divide_no_nan(misfit, observed))
    prior_term = tf.reduce_mean(tf.square(state - prior(state)))
    return observation_weight * observation_term + prior_weight * prior_term
