"""The layers that a model is made of, and what they ask of each other."""

from collections.abc import Sequence
from typing import Any

import keras

from tf4dvar.errors import InputError
from tf4dvar.layers import GradientSolver, Normalisation, NormalisedObservation
from tf4dvar.layers.contracts import FirstGuess, ObservationOperator, Prior, trait


def check_parts(prior: Any, solver: Any, first_guess: Any) -> None:
    """Refuse what is no layer of its kind.

    Args:
        prior, solver, first_guess: as of `FourDVarNet`.
    """
    for name, layer in (("prior", prior), ("first_guess", first_guess)):
        if not isinstance(layer, keras.layers.Layer) and (name, layer) != ("first_guess", None):
            raise InputError(f"Received {name}={layer!r}; expected a Keras layer, built or not.")
    if not isinstance(solver, GradientSolver):
        raise InputError(
            f"Received solver={solver!r}; expected a GradientSolver, for example "
            "GradientSolver(LSTMCell(), iterations=10)."
        )


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


def covariates_taken(layer: keras.layers.Layer, kind: type) -> int:
    """Number of covariates that a layer takes.

    Args:
        layer: it.
        kind: `Prior` or `FirstGuess`.
    """
    return trait(layer, kind, "covariates")


def given_covariates(
    inputs: dict[str, Any], first_guess: keras.layers.Layer, prior: keras.layers.Layer
) -> list[Any]:
    """The covariates among the inputs, in a list, which is empty where there are none.

    Args:
        inputs: by their names.
        first_guess, prior: which take them.

    Raises:
        InputError: they are not as many as these take.
    """
    covariates = [inputs["covariates"]] if "covariates" in inputs else []
    given = covariates[0].shape[-1] if covariates else 0
    of_guess, of_prior = covariates_taken(first_guess, FirstGuess), covariates_taken(prior, Prior)
    if given != max(of_guess, of_prior):
        raise InputError(
            f"Received {given} covariates; the first guess, {type(first_guess).__name__}, takes "
            f"{of_guess}, the prior, {type(prior).__name__}, {of_prior}."
        )
    return covariates
