"""What a model takes: observations, and what else is known of a window, by name."""

from typing import Any

import numpy as np
import tensorflow as tf

from tf4dvar.data import as_array
from tf4dvar.errors import InputError
from tf4dvar.layers import Normalisation

NAMES = ("observations", "noise_variance", "background", "covariates")


def by_name(inputs: Any) -> dict[str, Any]:
    """The inputs of `FourDVarNet` by their names; observations alone need none.

    Args:
        inputs: an array, or a dict of them.
    """
    if not isinstance(inputs, dict):
        if isinstance(inputs, list | tuple):
            raise InputError(
                f"Received a {type(inputs).__name__} of {len(inputs)} inputs; expected "
                f"observations, or a dict of them and any of {', '.join(NAMES[1:])}."
            )
        return {"observations": inputs}
    unknown = sorted(map(str, inputs.keys() - {*NAMES}))
    if unknown or "observations" not in inputs:
        raise InputError(
            f"Received inputs named {', '.join(sorted(map(str, inputs)))}; expected observations, "
            f"and optionally {', '.join(NAMES[1:])}."
        )
    return {name: inputs[name] for name in NAMES if inputs.get(name) is not None}


def as_arrays(inputs: Any) -> Any:
    """The inputs, each array of them as NumPy's; a pipeline as it is.

    Args:
        inputs: of `FourDVarNet`.
    """
    if isinstance(inputs, dict | list | tuple):
        return {name: as_array(values) for name, values in by_name(inputs).items()}
    return as_array(inputs)


def observations_of(inputs: Any) -> Any:
    """The observations among the inputs; a pipeline as it is.

    Args:
        inputs: of `FourDVarNet`.
    """
    return by_name(inputs)["observations"] if isinstance(inputs, dict) else inputs


def normalised(
    inputs: dict[str, Any], normalisation: Normalisation, noise_variance: float | list[float] | None
) -> tuple[Any, Any]:
    """Normalised observations with 0 for NaN, and the weight of each, 0 for NaN.

    A weight is the inverse of the noise's variance, in squared deviations; 1 if that is not known.

    Args:
        inputs: of `by_name`.
        normalisation: of the observations.
        noise_variance: where the inputs have none.
    """
    observations = inputs["observations"]
    components = normalisation.mean.shape[0]
    if observations.shape[-1] != components:
        raise ValueError(
            f"Received observations of shape {observations.shape}; expected "
            f"{components} components on the last axis, an unobserved one filled with NaN."
        )
    tf.debugging.Assert(
        tf.reduce_all(~tf.math.is_inf(observations)),
        ["Received infinite observations; mark a missing value with NaN."],
    )
    observed = ~tf.math.is_nan(observations)
    values = tf.where(observed, normalisation(observations), 0.0)
    weights = tf.cast(observed, values.dtype)
    squared = tf.square(tf.cast(normalisation.std, values.dtype))
    if noise_variance is not None:
        own = squared / tf.constant(np.array(noise_variance), values.dtype)
        weights = tf.where(observed, own, 0.0)
    if "noise_variance" in inputs:
        variance = tf.cast(inputs["noise_variance"], values.dtype)
        tf.debugging.Assert(
            tf.reduce_all(~(variance <= 0) | ~observed),
            ["Received a noise variance that is not positive where there is an observation."],
        )
        given = observed & ~tf.math.is_nan(variance)
        weights = tf.where(given, squared / variance, weights)
    return values, weights
