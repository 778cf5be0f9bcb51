"""Maps of states and their adjoints, which the gradient of the variational cost is made of."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from tf4dvar.layers.configured import ConfiguredLayer


class StateMap(ConfiguredLayer):
    """A map F of states. A subclass writes `call`, or `with_adjoint`; the other follows from it.

    One that has covariates takes them as a second argument of both.
    """

    def call(self, state):
        """F(x)."""
        if not has_adjoint(self):
            raise NotImplementedError(f"{type(self).__name__} has neither call nor with_adjoint.")
        return self.with_adjoint(state)[0]

    def with_adjoint(self, state, *covariates) -> tuple[Any, Callable]:
        """F(x), and its adjoint r -> (d F / d x)^T r at x, by `tf.GradientTape`.

        A subclass may write both in forward operations, which share what the two have in common,
        in the dtype of the state.

        Args:
            state: x, [batch, time, *space, variable].
            *covariates: what is known in time, [batch, time, covariate], if it takes some.

        Returns:
            F(x), and a function from residuals shaped as F(x) to ones shaped as the state. Both are
            differentiable.
        """
        return differentiated(self, state, *covariates)


def has_adjoint(layer: keras.layers.Layer) -> bool:
    """Whether a layer writes its adjoint itself.

    Args:
        layer: any.
    """
    written = getattr(type(layer), "with_adjoint", None)
    return written not in (None, StateMap.with_adjoint)


def with_adjoint(layer: keras.layers.Layer, state, *covariates) -> tuple[Any, Callable]:
    """The value of a layer and its adjoint, see `StateMap.with_adjoint`, in the dtype of the state.

    Args:
        layer: a `StateMap`, or any other layer, which is differentiated automatically. It computes
            in its own `compute_dtype`.
        state: x, [batch, time, *space, variable].
        *covariates: [batch, time, covariate], if it takes some.
    """
    given = [tf.cast(each, layer.compute_dtype) for each in (state, *covariates)]
    differentiate = layer.with_adjoint if has_adjoint(layer) else partial(differentiated, layer)
    value, adjoint = differentiate(*given)

    def adjoint_as_given(residual):
        return tf.cast(adjoint(tf.cast(residual, value.dtype)), state.dtype)

    return tf.cast(value, state.dtype), adjoint_as_given


def differentiated(function: Callable, state, *covariates) -> tuple[Any, Callable]:
    """The value of a function of states and its adjoint, by `tf.GradientTape`.

    Args:
        function: of the state and the covariates, a layer or another.
        state, covariates: as for `with_adjoint`.
    """
    with tf.GradientTape() as tape:
        tape.watch(state)
        value = function(state, *covariates)

    def adjoint(residual):
        return tape.gradient(
            value, state, residual, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    return value, adjoint
