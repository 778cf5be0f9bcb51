"""States of windows, by a model."""

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from tf4dvar.data import check_observations
from tf4dvar.errors import InputError, first_line
from tf4dvar.models import FourDVarNet
from tf4dvar.models.inputs import by_name
from tf4dvar.models.labelled import Restore, arranged
from tf4dvar.models.probabilistic import Posterior
from tf4dvar.models.state_checks import check_states_of, suspect_windows

Windows = np.ndarray | xr.DataArray | xr.Dataset
"""Observed windows, labelled or not."""
States = TypeVar("States")
# Windows a batch: few enough to stay in a processor's cache.
BATCH = 32


class Reconstruction(NamedTuple):
    """States, and what is known of them.

    Attributes:
        states: [window, time, *space, component], physical units, in the order of the data.
        suspect: whether they do not fit the observations, [window]; see `suspect_windows`.
        std: standard deviation of their error, shaped as they are; None where the model has no
            `uncertainty`.
        seconds_per_window: wall clock, first calls left out; NaN where it was not asked for.
    """

    states: np.ndarray
    suspect: np.ndarray
    std: np.ndarray | None = None
    seconds_per_window: float = math.nan

    @property
    def written(self) -> dict[str, Any]:
        """What a file holds of it, as arguments of `states_dataset`."""
        errors = {} if self.std is None else {"state_std": self.std}
        return {"state": self.states, "suspect": self.suspect, **errors}


def reconstruct(
    model: FourDVarNet, data: Windows, warnings: bool = True, timed: bool = False
) -> Reconstruction:
    """The state of every window.

    Args:
        model: a trained model.
        data: a data set of `observations`; or an array of them, labelled or not, [window, time,
            component], physical units, NaN = not observed. What is labelled is checked by the
            model's signature, and the states are in its own order.
        warnings: whether to warn of observations that are likely wrong.
        timed: whether to take the time, for which some windows are computed twice.

    Raises:
        InputError: the observations do not fit the model or the memory, or a state is not finite.
    """
    inputs, restored = model_inputs(model, data, warnings)
    seconds = math.nan
    if timed:
        (states, std), seconds = timed_states(model, inputs, _mean_and_std, warnings)
    else:
        states, std = _mean_and_std(model, inputs, warnings)
    suspect = suspect_windows(model, inputs, states)
    std = None if std is None else restored(std)
    return Reconstruction(restored(states), suspect, std, seconds)


def _mean_and_std(
    model: FourDVarNet, inputs: dict[str, np.ndarray], warnings: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """Without a standard deviation where the model has none."""
    if model.uncertainty is None:
        return predicted(model, inputs, warnings), None
    return posterior(model, inputs, warnings)


def model_inputs(
    model: FourDVarNet, data: Windows, warnings: bool = True
) -> tuple[dict[str, np.ndarray], Restore]:
    """What a model takes, by name and in its precision, and what puts its states back.

    Args:
        model: a trained model.
        data, warnings: as of `reconstruct`.
    """
    given, restored = arranged(model, data, warnings)
    inputs = by_name(given)
    rank = len(model.observations_shape)
    check_observations(inputs["observations"], model.observed_components, rank)
    return {name: values.astype("float32") for name, values in inputs.items()}, restored


def predicted(
    model: FourDVarNet, inputs: dict[str, np.ndarray], warnings: bool = True
) -> np.ndarray:
    """The state of every window, of inputs as the model takes them.

    Args:
        model: a trained model.
        inputs: by name, in the model's order.
        warnings: whether to warn of observations that are likely wrong.

    Raises:
        InputError: the observations do not fit the memory, or a state is not finite.
    """
    return check_states_of(
        inputs, _predict(model, inputs, type(model) if warnings else keras.Model)
    )


def _predict(
    model: FourDVarNet, inputs: dict[str, np.ndarray], kind: type[keras.Model]
) -> np.ndarray:
    """The states; by Keras' own method, which warns of nothing, or by that of the model."""
    observations = inputs["observations"]
    given = inputs if len(inputs) > 1 else observations
    with _refusals(observations):
        return kind.predict(model, given, batch_size=BATCH, verbose=0)


@contextmanager
def _refusals(observations: np.ndarray) -> Iterator[None]:
    """What a graph refuses, as an error of the input."""
    try:
        yield
    except tf.errors.OpError as error:
        asserted = re.search(r"assertion failed: (.*)", str(error))
        said = first_line(re.sub(r"[][]", "", asserted[1]) if asserted else error)
        raise InputError(
            f"The model cannot take observations of shape {observations.shape}: {said}"
        ) from error


def posterior(
    model: FourDVarNet, inputs: dict[str, np.ndarray], warnings: bool = True
) -> Posterior:
    """As `predicted`, with standard deviations, of a model with an `uncertainty`.

    Args:
        model: a trained model.
        inputs: by name, in the model's order.
        warnings: whether to warn of states that are likely wrong.
    """
    with _refusals(inputs["observations"]):
        found = model.posterior(inputs, BATCH, warnings)
    check_states_of(inputs, found.mean)
    return found


def timed_states(
    model: FourDVarNet,
    inputs: dict[str, np.ndarray],
    compute: Callable[..., States],
    warnings: bool = True,
) -> tuple[States, float]:
    """States in the model's order, and the seconds per window, first calls left out.

    Args:
        model: a trained model.
        inputs: of `model_inputs`.
        compute: of a model, inputs, and whether to warn.
        warnings: whether it shall, once.
    """
    windows = len(inputs["observations"])
    for size in {min(BATCH, windows), windows % BATCH} - {0}:
        # A look at the whole of the observations is still to come, and once is enough.
        compute(model, {name: values[:size] for name, values in inputs.items()}, False)
    started = time.perf_counter()
    states = compute(model, inputs, warnings)
    return states, (time.perf_counter() - started) / windows
