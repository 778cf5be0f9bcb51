"""The two training losses of the paper, and any other of Keras in their place."""

import numpy as np
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.cost import sources_of, variational_cost


def supervised_loss(
    state, truth, prior=None, truth_weight=0.0, state_weight=0.0, weights=None, error=None
):
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
        weights: of every window, [batch]; or [batch, time]; or [batch, time, component].
        error: a loss of Keras in place of the mean squared error, `error(truth, state, weights)`.
            It sees an entry that is not known as equal to the reconstruction, and what it gives is
            divided by the share of the entries that are known; of single components it takes no
            weights.
    """
    known = tf.math.is_finite(truth)
    truth = tf.where(known, truth, state)
    entries = by_entry(weights, state)
    if error is None:
        loss = _mean_where(known, tf.square(state - truth), entries)
    else:
        share = tf.reduce_mean(tf.cast(known, state.dtype))
        by_time = None if weights is None else _by_time(weights, entries)
        loss = tf.math.divide_no_nan(error(truth, state, by_time), share)
    if truth_weight:
        loss += truth_weight * _mean_where(known, tf.square(truth - prior(truth)), entries)
    if state_weight:
        loss += state_weight * tf.reduce_mean(entries * tf.square(state - prior(state)))
    return loss


def _mean_where(known, values, weights):
    known = tf.cast(known, values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values * known * weights), tf.reduce_sum(known))


def _by_time(weights, entries):
    """The weights as [batch, time or 1], refused where they are those of single components."""
    if entries.shape[-1] != 1:
        raise InputError(
            f"Received sample weights of shape {tuple(weights.shape)}; with a loss given to "
            "`compile`, and with the unsupervised loss of an observation operator, expected "
            "[window] or [window, time]."
        )
    return entries[..., 0]


def by_entry(weights, state):
    """Keras' sample weights as factors of the entries of a state.

    Args:
        weights: of every window, [batch]; or [batch, time]; or [batch, time, component]; or None.
        state: [batch, time, component].

    Returns:
        A tensor that goes with the state: [batch or 1, time or 1, component or 1].
    """
    if weights is None:
        return tf.ones((1, 1, 1), state.dtype)
    weights = tf.cast(weights, state.dtype)
    if not 1 <= len(weights.shape) <= 3:
        raise InputError(
            f"Received sample weights of shape {tuple(weights.shape)}; expected [window], "
            "[window, time] or [window, time, component]."
        )
    for _ in range(3 - len(weights.shape)):
        weights = weights[..., tf.newaxis]
    return weights


def unsupervised_loss(
    state, observations, mask, prior, observation_weight, prior_weight, operator=None, weights=None
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
        weights: as for `supervised_loss`, of the squares of both terms; with an operator, whose
            observations are no entries of the state, not of single components.
    """
    simulated = state if operator is None else operator(state)
    entries = by_entry(weights, state)
    if operator is not None:
        _by_time(weights, entries)
    sources = sources_of(operator, simulated.shape[-1])
    lambdas = (*np.broadcast_to(observation_weight, len(sources)).tolist(), prior_weight)
    residual = state - prior(state)
    return tf.reduce_mean(
        variational_cost(simulated - observations, residual, mask, sources, lambdas, entries)
    )
