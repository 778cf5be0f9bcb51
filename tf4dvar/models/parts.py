"""The layers that a model is made of, and what they ask of each other."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers import (
    Normalisation,
    NormalisedObservation,
    NormalisedPrior,
    OneStepFlow,
    Solver,
)
from tf4dvar.layers.contracts import FirstGuess, ObservationOperator, Prior, trait
from tf4dvar.layers.several_priors import priors_of


def check_parts(prior: Any, solver: Any, first_guess: Any, observation: Any) -> None:
    """Refuse what is no layer of its kind, or not of its neighbours'.

    Args:
        prior, solver, first_guess, observation: as of `FourDVarNet`.
    """
    priors_of(prior)
    if not isinstance(first_guess, keras.layers.Layer | None):
        raise InputError(
            f"Received first_guess={first_guess!r}; expected a Keras layer, built or not."
        )
    outputs = trait(first_guess, FirstGuess, "outputs")
    if outputs > 1:
        raise InputError(
            f"Received a first guess with {outputs} outputs; expected one, the state. Others are "
            "for GaussianPosterior."
        )
    if trait(first_guess, FirstGuess, "forecasts"):
        _check_forecasts(prior, first_guess, observation)
    if not isinstance(solver, Solver):
        raise InputError(
            f"Received solver={solver!r}; expected a GradientSolver, for example "
            "GradientSolver(LSTMCell(), iterations=10)."
        )
    if solver.of_trajectories and not flows_among(prior):
        raise InputError(
            f"Received the solver {type(solver).__name__} with the prior {prior!r}; expected a "
            "flow, for example RK4Flow, or a list with one."
        )


def _check_forecasts(prior, first_guess, observation):
    kind = type(first_guess).__name__
    flows = flows_among(prior)
    if not flows or flows[0].covariates:
        raise InputError(
            f"Received the first guess {kind}, which forecasts, with the prior {prior!r}; expected "
            "a flow without covariates, for example RK4Flow, or a list with one."
        )
    if observation is not None:
        raise InputError(
            f"Received the first guess {kind} with an observation operator; it corrects components "
            "that are observed themselves. Mark those that are not with NaN."
        )


def flows_among(prior: keras.layers.Layer | Sequence[keras.layers.Layer]) -> list[OneStepFlow]:
    """Those of the priors that forecast.

    Args:
        prior: as of `FourDVarNet`.
    """
    return [each for each in priors_of(prior) if isinstance(each, OneStepFlow)]


def normalised_prior(
    prior: keras.layers.Layer | Sequence[keras.layers.Layer], normalisation: Normalisation
) -> Any:
    """Phi of normalised units, one or several as they are given.

    Args:
        prior: as of `FourDVarNet`.
        normalisation: of the state.
    """

    def normalised(prior):
        if not trait(prior, Prior, "physical_units"):
            return prior
        return NormalisedPrior(prior, normalisation, dtype=normalisation.dtype_policy)

    return keras.tree.map_structure(normalised, prior)


def normalised_operator(
    operators: keras.layers.Layer | Sequence[keras.layers.Layer] | None,
    first_guess: keras.layers.Layer,
    normalisation: Normalisation,
) -> NormalisedObservation | None:
    """H between normalised units; None where the state itself is observed.

    Args:
        operators: as of `FourDVarNet`.
        first_guess: which may need their pseudo-inverse.
        normalisation: of the state.
    """
    if operators is None:
        return None
    if isinstance(operators, keras.layers.Layer):
        operators = [operators]
    linear = all(trait(each, ObservationOperator, "linear") for each in operators)
    if trait(first_guess, FirstGuess, "of_observations") and not linear:
        raise ValueError(
            "Received an observation operator that is not linear and has no pseudo-inverse to "
            "begin with; give a first_guess that is learned, for example "
            "AttentionFirstGuess(components=number of the state's components)."
        )
    policy = normalisation.dtype_policy
    return NormalisedObservation(
        operators, normalisation, Normalisation(dtype=policy), dtype=policy
    )


def state_components(
    operator: NormalisedObservation | None,
    first_guess: keras.layers.Layer,
    shape: tuple,
    dtype: str,
) -> int:
    """Number of components of the state that observations are of.

    Args:
        operator: as of `normalised_operator`.
        first_guess: of the model, built.
        shape: of the observations.
        dtype: of its inputs.
    """
    if operator is None:
        return shape[-1]
    if trait(first_guess, FirstGuess, "of_observations"):
        return operator.operators[0].components
    observations = keras.KerasTensor(shape, dtype)
    taken = covariates_taken(FirstGuess, first_guess)
    more = [keras.KerasTensor((*shape[:-1], taken), dtype)] if taken else []
    return first_guess.compute_output_spec(observations, observations, *more).shape[-1]


def covariates_taken(kind: type, *layers: keras.layers.Layer) -> int:
    """Number of covariates that layers take, or some of them.

    Args:
        kind: `Prior` or `FirstGuess`.
        *layers: of that kind.
    """
    return max(trait(layer, kind, "covariates") for layer in layers)


def given_covariates(
    inputs: dict[str, Any], first_guess: keras.layers.Layer, priors: Sequence[keras.layers.Layer]
) -> list[Any]:
    """The covariates among the inputs, in a list, which is empty where there are none.

    Args:
        inputs: by their names.
        first_guess, priors: which take them.

    Raises:
        InputError: they are not as many as these take.
    """
    covariates = [inputs["covariates"]] if "covariates" in inputs else []
    given = covariates[0].shape[-1] if covariates else 0
    of_guess = covariates_taken(FirstGuess, first_guess)
    of_priors = [covariates_taken(Prior, prior) for prior in priors]
    if {0, given} != {0, of_guess, *of_priors}:
        each = zip(priors, of_priors, strict=True)
        taken = [f"the prior, {type(prior).__name__}, {taken}" for prior, taken in each]
        raise InputError(
            f"Received {given} covariates; the first guess, {type(first_guess).__name__}, takes "
            f"{of_guess}, {', '.join(taken)}."
        )
    return covariates


def given_beside(model: Any, values: Any, background: Any) -> dict[str, Any]:
    """What a model's first guess is given beside observations and covariates, by name.

    Args:
        model: a `FourDVarNet`.
        values: its normalised observations.
        background: normalised, NaN where not known; or None.
    """
    given: dict[str, Any] = {}
    first_guess = model.first_guess
    if trait(first_guess, FirstGuess, "background"):
        if background is None:
            components = model.normalisation.mean.shape[0]
            background = tf.repeat(tf.zeros_like(values[..., :1]), components, axis=-1)
        known = ~tf.math.is_nan(background)
        given["background"] = tf.where(known, background, tf.zeros_like(background))
    if trait(first_guess, FirstGuess, "forecasts"):
        normalised = zip(model.priors, model.cost_gradient.cost.priors, strict=True)
        given["prior"] = next(of for each, of in normalised if isinstance(each, OneStepFlow))
    return given
