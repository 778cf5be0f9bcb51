"""Reconstructing and scoring the windows of a data set."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

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
from tf4dvar.errors import InputError
from tf4dvar.evaluation.metrics import (
    fourdvar_score,
    mean_of_known,
    mean_where_known,
    ode_score,
    r_score,
)
from tf4dvar.evaluation.reconstruction import BATCH, model_inputs, predicted, timed_states
from tf4dvar.experiments import EXPERIMENTS
from tf4dvar.models import FourDVarNet
from tf4dvar.models.labelled import arranged_truth
from tf4dvar.models.loading import model_path
from tf4dvar.storage.records import read_record
from tf4dvar.systems import SYSTEMS, System, covariates_of_steps, system_by_name
from tf4dvar.systems.axes import axes_but

logger = logging.getLogger(__name__)


class _Training(msgspec.Struct):
    experiment: str
    seed: int


class _Config(msgspec.Struct):
    options: _Training


class _Source(msgspec.Struct):
    training: _Training


class _Card(msgspec.Struct):
    source: _Source


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
        step = partial(system.step, time_step=time_step_of(dataset, system))
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
    inputs, restored = model_inputs(model, dataset)
    states, seconds = timed_states(model, inputs, predicted)
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
