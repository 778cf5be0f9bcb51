"""A look at the states that a model gives."""

import logging
from typing import Any

import numpy as np

from tf4dvar.data import check_states
from tf4dvar.data.misfit import implausible
from tf4dvar.layers import Normalisation
from tf4dvar.models.inputs import without_land
from tf4dvar.systems.axes import axes_but

logger = logging.getLogger(__name__)

# In deviations of a component. States of Lorenz-63 stay within seven, also where they are never
# observed; the window of 2000 on which a trained solver diverged went to 69.
FAR = 20.0


def check_states_of(inputs: Any, states: np.ndarray) -> np.ndarray:
    """The states of a model; those that are not finite, but for land, are refused.

    Args:
        inputs: of `FourDVarNet`.
        states: [window, time, *space, component].

    Raises:
        DivergenceError: some are not finite.
    """
    check_states(
        _with_land(states, 0.0, inputs),
        "the model's solver diverges there. Look at the units of the observations and the prior's "
        "time step, or train the model further",
    )
    return states


def warn_of_divergence(states: np.ndarray, normalisation: Normalisation, inputs: Any) -> None:
    """Warn of windows on which the solver diverges.

    Args:
        states: [window, time, *space, component], physical units.
        normalisation: of the state.
        inputs: of `FourDVarNet`, which may tell of land.
    """
    within, mean = axes_but(0, states), normalisation.mean.numpy()
    states = _with_land(states, mean, inputs)
    finite = np.isfinite(states).all(within)
    near = (np.abs(states - mean) <= FAR * normalisation.std.numpy()).all(within)
    far = f"farther than {FAR:g} deviations from the mean of the model's normalisation"
    for astray, where in ((~finite, "not finite"), (finite & ~near, far)):
        if astray.any():
            logger.warning(
                "The states of %d of %d windows are %s, the first of them number %d: the "
                "solver diverges there. Look at the values and units of the observations and "
                "the prior's time step, or train further. Components that are never observed "
                "have the scale of the others unless `adapt` is given true states.",
                astray.sum(),
                len(states),
                where,
                astray.argmax(),
            )


def suspect_windows(model: Any, inputs: dict[str, np.ndarray], states: np.ndarray) -> np.ndarray:
    """Windows of which the states are farther from the observations than noise can be.

    See `implausible`: a model that was trained on other observations, in another unit or with
    another time step is so in most. Where the noise is not known, none is.

    Args:
        model: a built `FourDVarNet`.
        inputs: its inputs, by name.
        states: [window, time, *space, component], physical units.

    Returns:
        Whether each is, [window].
    """
    variance = _noise_variance(model, inputs)
    if variance is None:
        return np.zeros(len(states), bool)
    normalisation = model.observation_normalisation()
    values, weights = (each.numpy() for each in model.normalised_observations(inputs))
    known = _with_land(states, model.normalisation.mean.numpy(), inputs)
    normalised = model.normalisation(known.astype(values.dtype))
    simulated = normalised if model.operator is None else model.operator(normalised)
    departures = (np.asarray(simulated) - values) * normalisation.std.numpy()
    # A state that is not finite departs by more than any.
    departures = np.where(np.isnan(departures), np.inf, departures)
    return implausible(np.where(weights > 0, departures, np.nan), variance)


def _noise_variance(model, inputs):
    """Of the observations, in their squared units; None where it is not known."""
    if model.noise_variance is None:
        # What labelled inputs tell a model that was not told of the noise is in units of its own.
        told = "noise_variance" in inputs or model.signature is None
        return None if told else model.signature.noise_variance
    given = inputs.get("noise_variance", np.nan)
    return np.where(np.isnan(given), model.noise_variance, given)


def warn_of_misfit(suspect: np.ndarray) -> None:
    """Warn of suspect windows.

    Args:
        suspect: of `suspect_windows`.
    """
    if suspect.any():
        logger.warning(
            "The states of %d of %d windows do not fit their observations, the first of them "
            "number %d: they are farther off than noise can be. The windows are others than those "
            "of the model's training, in their units, their time step or in when and where they "
            "are observed, or have less noise. Take another model, or train one on such windows.",
            suspect.sum(),
            len(suspect),
            suspect.argmax(),
        )


def _with_land(states, value, inputs):
    """States with a value on land."""
    if not (isinstance(inputs, dict) and "land" in inputs):
        return states
    values = np.broadcast_to(np.asarray(value, states.dtype), states.shape)
    return np.where(np.isnan(without_land(values, inputs)), values, states)
