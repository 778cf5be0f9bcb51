"""A look at the states that a model gives."""

import logging
from typing import Any

import numpy as np

from tf4dvar.data import check_states
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


def _with_land(states, value, inputs):
    """States with a value on land."""
    if not (isinstance(inputs, dict) and "land" in inputs):
        return states
    values = np.broadcast_to(np.asarray(value, states.dtype), states.shape)
    return np.where(np.isnan(without_land(values, inputs)), values, states)
