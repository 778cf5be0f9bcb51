"""Observation operators: from the state to what is observed."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.adjoint import StateMap, with_adjoint
from tf4dvar.layers.checks import build_once, check_components
from tf4dvar.layers.contracts import ObservationOperator
from tf4dvar.layers.cost import sources_of
from tf4dvar.layers.normalisation import Normalisation, by_component
from tf4dvar.layers.precise_layer import PreciseLayer, check_precise


@keras.saving.register_keras_serializable(package="tf4dvar")
class LinearObservation(ObservationOperator):
    """A linear observation operator, y = H x at every time.

    Rows of the unit matrix observe single components; a diagonal matrix changes their units.

    Args:
        matrix: H, [observed, component], in physical units.

    Call arguments:
        state: [batch, time, *space, variable], physical units.

    Returns:
        H x, [batch, time, *space, observed], physical units.
    """

    linear = True

    def __init__(self, matrix: np.ndarray, **kwargs):
        super().__init__(**kwargs)
        self.matrix = np.array(matrix, "float64")
        if self.matrix.ndim != 2 or not np.isfinite(self.matrix).all():
            raise ValueError(
                f"Received a matrix of shape {self.matrix.shape}; "
                "expected finite numbers, [observed, component]."
            )
        self.components = self.matrix.shape[1]

    def build(self, input_shape):
        """Check the number of components."""
        check_components(self, input_shape, self.components)

    def with_adjoint(self, state):
        """H x, and the transposed matrix; see `tf4dvar.layers.adjoint`."""
        matrix = tf.constant(self.matrix, state.dtype)
        return (
            tf.matmul(state, matrix, transpose_b=True),
            lambda residual: tf.matmul(residual, matrix),
        )


@keras.saving.register_keras_serializable(package="tf4dvar")
class NormalisedObservation(PreciseLayer, StateMap):
    """Observation operators of physical units, side by side, between normalised ones.

    Args:
        operators: each from [batch, time, *space, variable] to [batch, time, *space, observed by
            it], one source of observations unless it says otherwise.
        normalisation: of the state.
        observation_normalisation: of the observations of all sources, one after the other.

    Call arguments:
        state: [batch, time, *space, variable], normalised.

    Returns:
        What all sources would observe, [batch, time, *space, observed], normalised.
    """

    def __init__(
        self,
        operators: Sequence[keras.layers.Layer],
        normalisation: Normalisation,
        observation_normalisation: Normalisation,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.operators = list(operators)
        for operator in self.operators:
            check_precise(operator)
        self.normalisation = normalisation
        self.observation_normalisation = observation_normalisation

    def build(self, state_shape):
        """Build the operators, and see how much each of them and of their sources observes."""
        build_once(self.normalisation, state_shape)
        state = keras.KerasTensor(state_shape, self.compute_dtype)
        observed: list[int] = []
        sources: list[int] = []
        for operator in self.operators:
            build_once(operator, state_shape)
            observed.append(operator.compute_output_spec(state).shape[-1])
            of_its_own = sources_of(operator, observed[-1])
            if sum(of_its_own) != observed[-1]:
                raise ValueError(
                    f"Received {type(operator).__name__} with sources={of_its_own}; expected "
                    f"numbers that add up to the {observed[-1]} values that it observes."
                )
            sources.extend(of_its_own)
        self.observed, self.sources = tuple(observed), tuple(sources)
        build_once(self.observation_normalisation, (*state_shape[:-1], sum(sources)))

    def call(self, state):
        """All operators between the two scalings."""
        physical = self.normalisation.inverse(state)
        simulated = [operator(physical) for operator in self.operators]
        return self.observation_normalisation(tf.concat(simulated, axis=-1))

    def with_adjoint(self, state):
        """All operators and their adjoint; see `tf4dvar.layers.adjoint`."""
        physical = self.normalisation.inverse(state)
        simulated, adjoints = zip(
            *(with_adjoint(operator, physical) for operator in self.operators), strict=True
        )

        def adjoint(residual):
            residual = by_component(tf.divide, residual, self.observation_normalisation.std)
            parts = tf.split(residual, self.observed, axis=-1)
            towards = [adjoint(part) for adjoint, part in zip(adjoints, parts, strict=True)]
            return by_component(tf.multiply, tf.add_n(towards), self.normalisation.std)

        return self.observation_normalisation(tf.concat(simulated, axis=-1)), adjoint

    def pseudo_inverse(self, observations):
        """The state nearest to the mean, in deviations, that linear operators see like that.

        Args:
            observations: [batch, time, *space, observed], normalised, without gaps.

        Returns:
            [batch, time, *space, variable], normalised: of the least-squares solutions that of
            least norm, by the Moore-Penrose inverse.
        """
        dtype = observations.dtype
        precise = tf.float64 if dtype == tf.float64 else tf.float32
        components = self.normalisation.mean.shape[0]
        offset = self(tf.zeros((1, 1, components), dtype))
        columns = self(tf.eye(components, dtype=dtype)[tf.newaxis]) - offset
        inverse = tf.linalg.pinv(tf.cast(columns[0], precise))
        return tf.matmul(observations - offset, tf.cast(inverse, dtype))
