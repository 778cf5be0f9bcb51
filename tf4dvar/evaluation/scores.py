"""Reconstructing and scoring the windows of a data set."""

import logging
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import msgspec
import numpy as np
import tensorflow as tf
import xarray as xr

from tf4dvar.data import (
    Signature,
    check_observations,
    covariates_of,
    time_step_of,
)
from tf4dvar.errors import InputError, first_line
from tf4dvar.evaluation.metrics import (
    fourdvar_score,
    mean_of_known,
    mean_where_known,
    ode_score,
    r_score,
)
from tf4dvar.experiments import EXPERIMENTS
from tf4dvar.models import FourDVarNet
from tf4dvar.models.inputs import by_name
from tf4dvar.models.labelled import arranged, arranged_truth
from tf4dvar.models.loading import model_path
from tf4dvar.models.state_checks import check_states_of
from tf4dvar.storage.records import read_record
from tf4dvar.systems import SYSTEMS, System, covariates_of_steps, rk4_step, system_by_name
from tf4dvar.systems.axes import axes_but

logger = logging.getLogger(__name__)

Windows = np.ndarray | xr.DataArray | xr.Dataset
"""Observed windows, labelled or not."""
# Windows a batch: few enough to stay in a processor's cache.
BATCH = 32


class _Training(msgspec.Struct):
    experiment: str
    seed: int


class _Config(msgspec.Struct):
    options: _Training


class _Source(msgspec.Struct):
    training: _Training


class _Card(msgspec.Struct):
    source: _Source


class Reconstruction(NamedTuple):
    """States and what they cost.

    Attributes:
        states: [window, time, component], physical units.
        seconds_per_window: wall clock, first calls left out.
    """

    states: np.ndarray
    seconds_per_window: float


def warn_of_training_windows(path: str | Path, dataset: xr.Dataset) -> None:
    """Warn where a model is to be scored on windows that it was trained on.

    Args:
        path: of the model; a run directory's or a published model's record lies beside it.
        dataset: the windows; simulated ones have the attributes `system` and `seed`.
    """
    training = _training_of(Path(path))
    experiment = EXPERIMENTS.get(training["experiment"]) if training else None
    # Fresh windows are not those of any data set.
    if experiment is None or experiment.fresh:
        return
    simulated = (str(dataset.attrs.get("system")), str(dataset.attrs.get("seed")))
    if simulated == (experiment.system, str(training["seed"])):
        logger.warning(
            "The windows of seed %d are among those that %s was trained on: their scores say "
            "little of others. Simulate some under another seed.",
            training["seed"],
            path,
        )


def _training_of(path):
    """What the record beside a model says of its training, or None."""
    path = model_path(path)
    folder = path if path.is_dir() else path.parent
    for name, form in (
        ("config.json", _Config),
        ("card.json", _Card),
    ):
        if (folder / name).is_file():
            try:
                record = read_record(folder / name, form)
            except InputError:  # Any other program's file may have such a name.
                continue
            return record["options"] if name == "config.json" else record["source"]["training"]
    return None


def checked_states(model: FourDVarNet, data: Windows, warnings: bool = True) -> np.ndarray:
    """The state of every window, [window, time, component], physical units.

    Args:
        model: a trained model.
        data: a data set of `observations`; or an array of them, labelled or not, [window, time,
            component], physical units, NaN = not observed. What is labelled is checked by the
            model's signature, and the states are in its own order.
        warnings: whether to warn of observations that are likely wrong.

    Raises:
        InputError: the observations do not fit the model or the memory, or a state is not finite.
    """
    inputs, restored = _inputs(model, data, warnings)
    return restored(predicted(model, inputs, warnings))


def _inputs(model, data, warnings=True):
    """What the model takes, in the precision that it takes, and what puts its states back."""
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
    try:
        return kind.predict(model, given, batch_size=BATCH, verbose=0)
    except tf.errors.OpError as error:
        asserted = re.search(r"assertion failed: (.*)", str(error))
        said = first_line(re.sub(r"[][]", "", asserted[1]) if asserted else error)
        raise InputError(
            f"The model cannot take observations of shape {observations.shape}: {said}"
        ) from error


def reconstruct(model: FourDVarNet, data: Windows) -> Reconstruction:
    """As `checked_states`, timed.

    Args:
        model: a trained model.
        data: as for `checked_states`.
    """
    inputs, restored = _inputs(model, data)
    states, seconds = _timed(model, inputs)
    return Reconstruction(restored(states), seconds)


def _timed(model, inputs):
    """States in the model's order, and the seconds per window."""
    windows = len(inputs["observations"])
    for size in {min(BATCH, windows), windows % BATCH} - {0}:
        # Keras' own: a look at the whole of the observations is still to come, and once is enough.
        some = {name: values[:size] for name, values in inputs.items()}
        _predict(model, some, keras.Model)
    started = time.perf_counter()
    states = predicted(model, inputs)
    return states, (time.perf_counter() - started) / windows


def system_of(dataset: xr.Dataset) -> System | None:
    """The system that a data set says it is of; None where that is not known here.

    Args:
        dataset: with the attribute `system`, or without.
    """
    name = dataset.attrs.get("system")
    return system_by_name(name) if isinstance(name, str) and name in SYSTEMS else None


def truth_of(dataset: xr.Dataset) -> np.ndarray:
    """The true states of a data set, NaN where they are not known.

    Args:
        dataset: with `truth`.

    Raises:
        InputError: there is none, or nothing of it is known.
    """
    if "truth" not in dataset:
        raise InputError("The data set has no variable `truth`: there is nothing to score against.")
    truth = dataset["truth"].values
    if np.isnan(truth).all():
        raise InputError(
            "The variable `truth` is NaN throughout: there is nothing to score against."
        )
    return truth


def score(states: np.ndarray, dataset: xr.Dataset, system: System | None = None) -> dict[str, Any]:
    """R-score and 4DVar-score of reconstructed states, over what is known of the truth.

    A component or time of which nothing is known has NaN, a window counts with what it has.

    Args:
        states: [window, time, component], physical units.
        dataset: their windows, with `truth`.
        system: whose dynamics they obey; by default what the data set says, see `system_of`. The
            4DVar-score is None where that is not known.
    """
    system = system_of(dataset) if system is None else system
    dataset, states = _in_order(dataset, states, system)
    truth = truth_of(dataset)
    squared = np.square(states - truth)
    by_window = r_score(states, truth)[~np.isnan(truth).all(axes_but(0, truth))]
    scores: dict[str, Any] = {
        "r_score": float(by_window.mean()),
        "r_score_se": float(by_window.std(ddof=1) / np.sqrt(len(by_window)))
        if len(by_window) > 1
        else None,
        "fourdvar_score": None,
        "r_score_by_component": {
            str(name): float(value)
            for name, value in zip(
                dataset["component"].values,
                mean_where_known(squared, truth, kept=-1),
                strict=True,
            )
        },
        "r_score_by_time": mean_where_known(squared, truth, kept=1).tolist(),
        "windows": len(states),
    }
    if system is not None:
        check_observations(states, components=len(system.components))
        known = covariates_of(dataset, system.covariates)
        covariates = None if known is None else covariates_of_steps(known)
        step = partial(rk4_step, system, time_step=time_step_of(dataset, system))
        by_window = fourdvar_score(
            states, dataset["observations"].values, partial(step, covariates=covariates)
        )
        scores["fourdvar_score"] = float(by_window.mean())
    return scores


def in_order(dataset: xr.Dataset, system: System | None = None) -> xr.Dataset:
    """A data set with its components in the order of its system, found by their names.

    Args:
        dataset: windows; of no known system they are returned as they are.
        system: by default what the data set says, see `system_of`.

    Raises:
        InputError: the names or the units are others than the system's, or times are missing.
    """
    system = system_of(dataset) if system is None else system
    if system is None:
        return dataset
    return dataset.isel(Signature.of_system(system).arrangement(dataset["observations"]))


def _in_order(dataset, states, system):
    """The same with states of the data set's order."""
    if states.shape != dataset["observations"].shape:
        return dataset, states
    ordered = in_order(dataset.assign(state=(dataset["observations"].dims, states)), system)
    return ordered.drop_vars("state"), ordered["state"].values


def evaluate(model: FourDVarNet, dataset: xr.Dataset) -> dict[str, Any]:
    """All scores of a model on a data set with `truth`; see `score`.

    Adds the ODE-score (the prior's one-step-ahead prediction of the true states) and the
    seconds per window.

    Args:
        model: a trained model.
        dataset: windows with `truth`.
    """
    inputs, restored = _inputs(model, dataset)
    states, seconds = _timed(model, inputs)
    scores = score(restored(states).astype("float64"), dataset)
    truth = arranged_truth(model, dataset["truth"]).astype("float32")
    known = model.prior_covariates(inputs)
    scores["ode_score"] = prior_ode_score(model.prior_prediction, truth, *known)
    scores["seconds_per_window"] = seconds
    return scores


def prior_ode_score(
    prior: Callable[..., tf.Tensor], truth: np.ndarray, covariates: np.ndarray | None = None
) -> float:
    """Mean ODE-score of a prior on true states.

    Args:
        prior: Phi in physical units: a flow, or a model's `prior_prediction`.
        truth: [window, time, component], physical units, of the prior's precision; NaN where it is
            not known.
        covariates: if the prior takes some, [window, time, covariate].

    Returns:
        The mean; NaN where nothing of the truth, or of what the prior makes of it, is known.
    """
    given = (truth,) if covariates is None else (truth, covariates)
    batches = [slice(start, start + BATCH) for start in range(0, len(truth), BATCH)]
    predictions = [prior(*(values[batch] for values in given)).numpy() for batch in batches]
    return mean_of_known(ode_score(truth, np.concatenate(predictions)))
