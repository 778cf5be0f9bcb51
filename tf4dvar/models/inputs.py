"""What a model takes: observations, and what else is known of a window, by name."""

from typing import Any

import numpy as np
import tensorflow as tf

from tf4dvar.data import as_array
from tf4dvar.errors import InputError
from tf4dvar.layers import Normalisation

NAMES = ("observations", "noise_variance", "background", "covariates", "land")


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
        arrays = {name: as_array(values) for name, values in by_name(inputs).items()}
        return {**arrays, "observations": without_land(arrays["observations"], inputs)}
    return as_array(inputs)


def without_land(values: Any, inputs: Any) -> Any:
    """Observations or states, NaN on land; as they are where the inputs tell of none.

    Args:
        values: [window, time, *space, component], an array of NumPy, or none.
        inputs: of `FourDVarNet`.
    """
    if not (isinstance(inputs, dict) and inputs.get("land") is not None) or values is None:
        return values
    land = np.asarray(as_array(inputs["land"]))
    if land.shape != (values.shape[0], *values.shape[2:-1]):
        raise InputError(
            f"Received land of shape {land.shape} with values of shape {values.shape}; expected "
            "[window, *space], true on land."
        )
    return np.where((land != 0)[:, np.newaxis, ..., np.newaxis], np.nan, values)


def sea_of(inputs: dict[str, Any], dtype: Any) -> Any:
    """1 at sea and 0 on land, [batch, 1, *space, 1]; None where the inputs tell of no land.

    Args:
        inputs: of `by_name`.
        dtype: of the result.
    """
    if "land" not in inputs:
        return None
    land = tf.convert_to_tensor(inputs["land"])
    expected = len(inputs["observations"].shape) - 2
    if len(land.shape) != expected or expected < 2:
        raise InputError(
            f"Received land of shape {tuple(land.shape)} with observations of shape "
            f"{tuple(inputs['observations'].shape)}; expected [window, *space] of a field."
        )
    return tf.cast(tf.equal(tf.cast(land, dtype), 0), dtype)[:, tf.newaxis, ..., tf.newaxis]


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
    sea = sea_of(inputs, observations.dtype)
    if sea is not None:
        observations = tf.where(sea > 0, observations, np.nan)
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
        # No negation of a comparison: TensorFlow turns it round, which is wrong of NaN.
        tf.debugging.Assert(
            tf.reduce_all((variance > 0) | tf.math.is_nan(variance) | ~observed),
            ["Received a noise variance that is not positive where there is an observation."],
        )
        given = observed & ~tf.math.is_nan(variance)
        weights = tf.where(given, squared / variance, weights)
    return values, weights
