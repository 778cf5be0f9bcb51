"""Labelled data as a model takes them, by its signature, and its states in the data's order."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tf4dvar.data import as_array, covariates_of, noise_variance_of
from tf4dvar.data.covariates import COVARIATES, names_of
from tf4dvar.data.domain import at_sea, land_of
from tf4dvar.errors import InputError
from tf4dvar.layers.contracts import FirstGuess, trait
from tf4dvar.models.inputs import as_arrays, observations_of

logger = logging.getLogger(__name__)

# How many times the noise of the training is said to be more.
NOISE = 2.0
# Share by which windows may be longer or shorter than those of the training.
ROOM = 0.1

if TYPE_CHECKING:
    from tf4dvar.models import FourDVarNet

Restore = Callable[[np.ndarray], np.ndarray]
"""Puts states [window, time, *space, component] of a model into the order of the data."""


def arranged(model: "FourDVarNet", data: Any, warnings: bool = True) -> tuple[Any, Restore]:
    """The inputs of a model, and what puts its states back.

    Args:
        model: a built model; without a `signature` it takes all data as they are.
        data: a data set of `observations`, with their `noise_variance` and land, see `land_of`,
            where it has these, and with `covariates` where the model takes some; a labelled array
            of observations; or any inputs of the model, among which the observations may be
            labelled.
        warnings: whether to warn of what goes beyond the training; see `Signature.warn_of`.

    Raises:
        InputError: labels, units, time step or grid are not those of the training.
    """
    of_dataset = isinstance(data, xr.Dataset)
    observations = data.get("observations") if of_dataset else observations_of(data)
    if warnings:
        _warn_of_length(model, observations)
    if of_dataset:
        return _of_dataset(model, data, warnings)
    if model.signature is None or not _has_components(observations):
        return as_arrays(data), lambda states: states
    order, restored = _order(model, observations, warnings)
    if not isinstance(data, dict):
        return _taken(as_array(observations), order), restored
    # Covariates, and states under an operator, have components of their own.
    places = {axis: indices for axis, indices in order.items() if axis < observations.ndim - 1}
    of_the_state = order if model.operator is None else places
    # Land has no axis of time.
    of_space = {max(axis - 1, 0): indices for axis, indices in places.items() if axis != 1}
    orders = {"background": of_the_state, "covariates": places, "land": of_space}
    inputs = as_arrays(data)
    return {name: _taken(of, orders.get(name, order)) for name, of in inputs.items()}, restored


def _warn_of_length(model, observations):
    """Of windows of a length that the first guess was not trained on."""
    shape: tuple[int, ...] = getattr(observations, "shape", ())
    if model.signature is None or len(shape) < 3:
        return
    steps, trained = shape[1], model.signature.window
    if trait(model.first_guess, FirstGuess, "any_length") or abs(steps - trained) <= ROOM * trained:
        return
    logger.warning(
        "Received windows of %d steps; the model was trained on %d, and its first guess, %s, knows "
        "none of other lengths: states may be far off. Cut windows of %d steps, or take another "
        "model.",
        *(steps, trained, type(model.first_guess).__name__, trained),
    )


def arranged_truth(model: "FourDVarNet", truth: Any) -> Any:
    """True states as an array in the model's order.

    Args:
        model: a built model.
        truth: an array of any library; a labelled one is put in order where the state itself is
            observed.
    """
    if model.signature is None or model.operator is not None or not _has_components(truth):
        return as_array(truth)
    order = model.signature.arrangement(truth)
    return as_array(truth.isel(order))


def _of_dataset(model, dataset, warnings):
    if "observations" not in dataset:
        raise InputError(
            f"Received a data set of {sorted(map(str, dataset.data_vars))}; expected a variable "
            "`observations`."
        )
    time, *space = map(str, dataset["observations"].dims[1:-1] or ("time",))
    land = land_of(dataset, time, space)
    dataset = at_sea(dataset, land)
    observations, variance = dataset["observations"], noise_variance_of(dataset)
    order: dict[int, np.ndarray] = {}
    restored: Restore = np.asarray
    if model.signature is not None:
        order, restored = _order(model, observations, warnings)
    values = _taken(as_array(observations), order)
    inputs = {"observations": values}
    if land is not None:
        places = {axis - 2: of for axis, of in order.items() if 2 <= axis < observations.ndim - 1}
        inputs["land"] = np.broadcast_to(_taken(land.values, places), (len(values), *land.shape))
    if variance is not None:
        variance = _taken(as_array(variance), order)
        known = np.where(np.isfinite(values), variance, np.nan)
        inputs["noise_variance"] = variance * noise_scale(model, known, warnings)
    if model.covariates:
        inputs["covariates"] = covariates_of(dataset, covariates_for(model, dataset))
    return inputs if len(inputs) > 1 else values, restored


def noise_scale(
    model: "FourDVarNet", variance: np.ndarray, warnings: bool = True
) -> np.ndarray | float:
    """By what variances of the noise are multiplied for the unit in which a model counts them.

    One that was not told of the noise in training weighs every observation by 1 there; an entry
    whose noise is that of the training keeps this weight.

    Args:
        model: a built model.
        variance: of the observations, NaN where there is none. By its median, where the noise of
            the training is not known.
        warnings: whether to warn of noise beyond that of the training.
    """
    if model.noise_variance is not None:
        return 1.0
    known = variance[np.isfinite(variance)]
    trained = None if model.signature is None else model.signature.noise_variance
    if trained is None:
        trained = np.median(known) if known.size else 1.0
    elif warnings and known.size and not known.max() <= NOISE * np.max(trained):
        logger.warning(
            "The observations have a noise variance of up to %.3g, those of the model's training "
            "%.3g. The model weighs them by it, but never learned to: it may trust them too much.",
            known.max(),
            np.max(trained),
        )
    return np.square(model.observation_normalisation().std.numpy()) / np.asarray(trained)


def covariates_for(model: "FourDVarNet", dataset: xr.Dataset) -> tuple[str, ...]:
    """Names of the covariates that a model is to be given of a data set.

    Args:
        model: a built model that takes some.
        dataset: all that it has, where the model knows no names.
    """
    return model.covariate_names or names_of(dataset) or (COVARIATES,)


def _order(model, observations, warnings):
    """Indices along the axes that are in another order, and what undoes it in states."""
    indices = model.signature.arrangement(observations)
    if warnings:
        model.signature.warn_of(observations.isel(indices))
    order = {observations.dims.index(dim): of for dim, of in indices.items()}
    # Under an operator the state's components are others than the observed ones.
    last = observations.ndim - 1
    back = {
        axis: np.argsort(of) for axis, of in order.items() if axis < last or model.operator is None
    }
    return order, lambda states: _taken(states, back)


def _has_components(values):
    return isinstance(values, xr.DataArray) and "component" in values.dims


def _taken(values, order):
    for axis, indices in order.items():
        values = np.take(values, indices, axis)
    return values
