"""A prior and its adjoint, which the gradient of the variational cost is made of."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def linearise(prior: keras.layers.Layer, state) -> tuple[Any, Callable]:
    """Phi(x), and its pull-back r -> (d Phi / d x)^T r at x.

    A prior may give both itself, as a method `linearise(state)` written in forward operations
    that shares what the two have in common. Any other is differentiated automatically. Both are in
    the prior's own `compute_dtype`, to which a `linearise` casts its weights.

    Args:
        prior: Phi.
        state: x, [batch, time, component].

    Returns:
        Phi(x), same shape, and a function of a residual of that shape. Both are differentiable.
    """
    given = tf.cast(state, prior.compute_dtype)
    if hasattr(prior, "linearise"):
        prediction, pull_back = prior.linearise(given)
    else:
        prediction, pull_back = _differentiate(prior, given)

    def pull_back_as_given(residual):
        return tf.cast(pull_back(tf.cast(residual, prediction.dtype)), state.dtype)

    return tf.cast(prediction, state.dtype), pull_back_as_given


def _differentiate(prior, state):
    with tf.GradientTape() as tape:
        tape.watch(state)
        prediction = prior(state)

    def pull_back(residual):
        return tape.gradient(
            prediction, state, residual, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    return prediction, pull_back
