"""The two training losses of the paper."""

import numpy as np
import tensorflow as tf

from tf4dvar.layers.cost import misfits


def supervised_loss(state, truth, prior=None, truth_weight=0.0, state_weight=0.0):
    """Mean squared error of the reconstruction (eq. 14, averaged), with optional prior terms.

        mean (state - truth)^2 + truth_weight * mean (truth - Phi(truth))^2
                               + state_weight * mean (state - Phi(state))^2

    The paper's published code (github.com/CIA-Oceanix/DinAE_4DVarNN_torch) adds both terms, each
    with weight 0.05: the error alone does not ask Phi to predict.

    Args:
        state, truth: [batch, time, component], normalised. An entry of `truth` that is NaN is
            not known: it does not count, and Phi sees the reconstruction in its place.
        prior: Phi, in normalised units; for the prior terms.
        truth_weight, state_weight: weights of the prior terms.
    """
    known = tf.math.is_finite(truth)
    truth = tf.where(known, truth, state)
    loss = _mean_where(known, tf.square(state - truth))
    if truth_weight:
        loss += truth_weight * _mean_where(known, tf.square(truth - prior(truth)))
    if state_weight:
        loss += state_weight * tf.reduce_mean(tf.square(state - prior(state)))
    return loss


def _mean_where(known, values):
    known = tf.cast(known, values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values * known), tf.reduce_sum(known))


def unsupervised_loss(
    state, observations, mask, prior, observation_weight, prior_weight, operator=None
):
    """Variational cost of the reconstruction under fixed weights (eq. 13, averaged).

    The weights are not those of the solver's cost: those are learned, and would shrink to
    nothing if they were to be their own judge.

    Args:
        state: [batch, time, component], normalised.
        observations, mask, operator: as for `VariationalCost`, normalised.
        prior: Phi, in normalised units.
        observation_weight, prior_weight: lambda_1, one for all sources or one for each, and
            lambda_2.
    """
    seen = state if operator is None else operator(state)
    sources = misfits(operator, seen, observations, mask)
    weights = np.broadcast_to(observation_weight, len(sources)).tolist()
    terms = [w * tf.reduce_mean(s.mean_square()) for w, s in zip(weights, sources, strict=True)]
    terms.append(prior_weight * tf.reduce_mean(tf.square(state - prior(state))))
    return sum(terms[1:], terms[0])
