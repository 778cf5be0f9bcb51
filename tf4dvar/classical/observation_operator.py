"""What is observed of a state, from arrays to arrays, and its derivative."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from tf4dvar.errors import InputError


class ObservedState:
    """The state itself is observed: H(x) = x."""

    linear = True

    def __init__(self, components: int):
        self.components = components

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """H(x), [..., component] to [..., observed]."""
        return states

    def jacobian(self, states: np.ndarray) -> np.ndarray | None:
        """dH/dx, broadcastable to [..., observed, component]; None for the unit matrix."""
        return None

    def layer(self) -> Any:
        """H as a Keras layer, [batch, time, component] to [batch, time, observed]; None for x."""
        return None

    def footprint(self) -> np.ndarray:
        """Share of every component in what is observed, [observed, component]."""
        return np.eye(self.components)


class LinearOperator(ObservedState):
    """H(x) = H x with a matrix [observed, component]."""

    def __init__(self, matrix: np.ndarray):
        super().__init__(matrix.shape[1])
        self.matrix = matrix

    def __call__(self, states):
        """H x."""
        return states @ self.matrix.T

    def jacobian(self, states):
        """H."""
        return self.matrix

    def layer(self):
        """H as `LinearObservation`."""
        from tf4dvar.layers import LinearObservation

        return LinearObservation(self.matrix, dtype="float64")

    def footprint(self):
        """The rows' magnitudes over their sums."""
        magnitudes = np.abs(self.matrix)
        return magnitudes / magnitudes.sum(axis=1, keepdims=True)


class DifferentiableOperator(ObservedState):
    """Any function of tensors, differentiated automatically; each time is observed by itself."""

    linear = False

    def __init__(self, function: Callable, components: int, observed: int):
        import tensorflow as tf

        super().__init__(components)
        self.function = function
        anything = [tf.TensorSpec([None, 1, components], tf.float64)]

        @tf.function(input_signature=anything)
        def simulate(states):
            return function(states)

        @tf.function(input_signature=anything)
        def jacobian(states):
            with tf.GradientTape() as tape:
                tape.watch(states)
                simulated = function(states)[:, 0]
            return tape.batch_jacobian(simulated, states)[:, :, 0]

        self._simulate, self._jacobian = simulate, jacobian
        self._check(observed)

    def __call__(self, states):
        """H(x)."""
        simulated = self._simulate(self._listed(states)).numpy()
        return simulated.reshape(*states.shape[:-1], simulated.shape[-1])

    def jacobian(self, states):
        """dH/dx by reverse mode."""
        jacobians = self._jacobian(self._listed(states)).numpy()
        return jacobians.reshape(*states.shape[:-1], *jacobians.shape[1:])

    def layer(self):
        """The function, wrapped if it is no layer."""
        import keras

        if isinstance(self.function, keras.layers.Layer):
            return self.function
        return keras.layers.Lambda(self.function, dtype="float64")

    def footprint(self):
        """Not known."""
        raise InputError(
            "Localisation needs to know where an observation is: expected the observation operator "
            "as a matrix, received a function."
        )

    def _check(self, observed: int) -> None:
        refusal = InputError(
            f"The observation operator {self.function!r} does not take float64 tensors [batch, "
            f"time, {self.components}] to such: build a layer with dtype='float64', write a "
            "function with TensorFlow."
        )
        try:
            simulated = self._simulate(np.zeros((1, 1, self.components)))
        except (NotImplementedError, TypeError, ValueError) as error:
            raise refusal from error
        if simulated.dtype != "float64":
            raise refusal
        if simulated.shape != (1, 1, observed):
            raise InputError(
                f"The observation operator {self.function!r} gives {simulated.shape[-1]} values at "
                f"a time for observations of {observed}; expected as many."
            )

    def _listed(self, states):
        return np.reshape(states, (-1, 1, self.components)).astype(float)


@lru_cache(maxsize=8)
def differentiable_operator(
    function: Callable, components: int, observed: int
) -> DifferentiableOperator:
    """The `DifferentiableOperator` of a function, compiled once however many windows use it.

    Args:
        function: H.
        components: number of components of the state.
        observed: number of values observed at a time.
    """
    return DifferentiableOperator(function, components, observed)


def adjoint(jacobian: np.ndarray | None, departures: np.ndarray) -> np.ndarray:
    """J^T d, the adjoint of H at a state, [..., observed] to [..., component]."""
    return departures if jacobian is None else (departures[..., None, :] @ jacobian)[..., 0, :]


def normal_matrix(jacobian: np.ndarray | None, precision: np.ndarray) -> np.ndarray:
    """J^T R^-1 J of Gauss-Newton, [..., observed, observed] to [..., component, component]."""
    return precision if jacobian is None else np.swapaxes(jacobian, -1, -2) @ precision @ jacobian
