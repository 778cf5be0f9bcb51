"""What a prior, an ODE, an observation operator, a first guess and an update are.

A new one is derived from its class here, keeps the arguments of its constructor as attributes, and
needs no `get_config`; see `ConfiguredLayer`. Of the first four any other Keras layer of the same
shapes is taken too, as one that says nothing of itself: see `trait`.
"""

from typing import Any

import keras
import tensorflow as tf

from tf4dvar.layers.adjoint import StateMap
from tf4dvar.layers.configured import ConfiguredLayer
from tf4dvar.layers.precise_layer import PreciseLayer


class Prior(StateMap):
    """Phi: what a state would be by its dynamics (eq. 3).

    Traits:
        physical_units: whether Phi is of physical units; by default of normalised ones.
        covariates: number of covariates that it takes; none by default.

    Call arguments:
        state: x, [batch, time, *space, variable].
        covariates: [batch, time, covariate], as the user gives them; only if it takes some.

    Returns:
        Phi(x), same shape and units.
    """

    physical_units = False
    covariates = 0


class ODE(PreciseLayer, StateMap):
    """dx/dt of every state by itself, per unit of time.

    Traits:
        covariates: number of covariates that it takes, known in time; none by default.

    Call arguments:
        state: [batch, time, *space, variable], physical units.
        covariates: [batch, time, covariate], of the states' times; only if it takes some.

    Returns:
        dx/dt, same shape.
    """

    covariates = 0


class ObservationOperator(PreciseLayer, StateMap):
    """H: what would be observed of a state, time by time.

    Traits:
        linear: whether H is; then it has a pseudo-inverse, with which the first guess may begin.
        components: number of components of the state; a linear one has to know it.
        sources: how many of the observed belong to each source, which has a weight of its own in
            the cost; by default all are of one.

    Call arguments:
        state: [batch, time, *space, variable], physical units.

    Returns:
        H(x), [batch, time, *space, observed], physical units.
    """

    linear = False
    components: int
    sources: tuple[int, ...] | None = None


class FirstGuess(ConfiguredLayer):
    """Where the solver begins.

    Traits:
        of_observations: whether it fills gaps of the observations, and H^+ takes that to a state;
            by default it gives the state itself.
        covariates: number of covariates that it takes; none by default.
        weighted: whether it is given the weight of every entry in place of the mask; by default
            not.
        background: whether it is given a state to go by; by default not.
        forecasts: whether it is given the prior of the model, a flow, to forecast by; by default
            not.
        any_length: whether it is as good for windows of other lengths than those of its training,
            as by default.
        outputs: numbers that it gives of every variable, one after the other; by default one.
        tolerance: by how much x0 may differ with the rounding of another processor or batch, where
            an iteration ends at some accuracy; 0 by default.

    Call arguments:
        observations: [batch, time, *space, observed], normalised, 0 where not observed.
        mask: same shape, 1 where observed, else 0. A weight is the inverse of the variance of the
            noise, in squared deviations, 1 where it is not known; 0 where not observed.
        covariates: [batch, time, covariate], as the user gives them; only if it takes some.
        background: [batch, time, *space, variable], normalised; only if it takes one.
        prior: of normalised states, by its name; only if it forecasts.

    Returns:
        x0, [batch, time, *space, variable], normalised, no gaps.
    """

    of_observations = False
    covariates = 0
    weighted = False
    background = False
    forecasts = False
    any_length = True
    outputs = 1
    tolerance = 0.0


class Update(ConfiguredLayer):
    """Gamma's update: an increment from a gradient, window by window.

    Call arguments:
        gradient: [batch, time, *space, variable].
        memory: what the last call left, of the structure of `initial`.

    Returns:
        The increment, shaped as the gradient, which the solver subtracts, and the new memory.
    """

    def initial(self, first_guess) -> Any:
        """The memory to begin with, a tensor or a structure of them; none by default.

        Args:
            first_guess: x0, [batch, time, *space, variable].
        """
        return ()

    def call(self, gradient, memory):
        """The increment and the new memory."""
        raise NotImplementedError


def seen_by(first_guess: keras.layers.Layer, weights: Any) -> Any:
    """What a first guess is told of how well each entry was observed: weights, or the mask.

    Args:
        first_guess: see the trait `weighted`.
        weights: of every entry, 0 where not observed.
    """
    weighted = trait(first_guess, FirstGuess, "weighted")
    return weights if weighted else tf.cast(weights > 0, weights.dtype)


def trait(layer: keras.layers.Layer, kind: type[keras.layers.Layer], name: str) -> Any:
    """What a layer says of itself, else what its kind says by default.

    Args:
        layer: one of that kind, derived from it or not.
        kind: of the classes above.
        name: of the attribute.
    """
    return getattr(layer, name, getattr(kind, name))
