"""Fitting a model to windows, in a run directory."""

import json
import logging
import time
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.experiments import Experiment
from tf4dvar.models import FourDVarNet, TrainingLoss, load_model
from tf4dvar.training.curriculum import Curriculum
from tf4dvar.training.divergence_guard import DivergenceGuard
from tf4dvar.training.identification import identify_prior
from tf4dvar.training.loop import train_loop
from tf4dvar.training.run_directory import Checkpoint, Log, RunDirectory
from tf4dvar.training.windows import TrainingWindows
from tf4dvar.training.worker_share import ALONE, WorkerShare

logger = logging.getLogger(__name__)

CLIPNORM = 1.0
# What changes in a training: K by its schedule, what is frozen when the prior was identified; and
# what the data tell, not the experiment.
PASSING = {"name", "iterations", "trainable", "build_config", "shared_object_id", "signature"}
# Keras asks for a number of epochs also where the clock ends a training.
NO_END = 1_000_000


def fit_windows(
    experiment: Experiment,
    run: RunDirectory,
    options: dict[str, Any],
    windows: TrainingWindows,
    worker: WorkerShare = ALONE,
    verbose: str | int = "auto",
) -> FourDVarNet:
    """Train in a claimed run directory, from its last finished epoch on.

    Args:
        experiment: what to train, and how.
        run: where.
        options: `epochs`, `minutes`, `iterations` and `seed`, as of `train`.
        windows: on what.
        worker: whose share of the work it is, for one of several workers.
        verbose: of Keras' `fit`, which one process alone calls.
    """
    minutes, iterations = options["minutes"], options["iterations"]
    epochs = options["epochs"] or NO_END
    batch_size = min(experiment.batch_size, windows.number)
    steps_per_pass = windows.number // batch_size
    steps_per_epoch = min(experiment.steps_per_epoch or steps_per_pass, steps_per_pass)

    resumed = run.model.is_file()
    if worker.keeps_the_run and not resumed:
        _begin(experiment, run, windows, options["seed"])
    worker.wait_for_all()
    model = load_model(run.model)
    if resumed:
        _check_model(model, experiment, run)
    first_epoch = int(model.optimizer.iterations) // steps_per_epoch
    logged = len(run.history())
    if logged > first_epoch + 1:
        raise InputError(
            f"{run.log} has {logged} epochs, {run.model} {first_epoch} of "
            f"{steps_per_epoch} steps: it was begun with epochs of another length. Train it anew "
            "in another folder."
        )
    history = run.keep(first_epoch) if worker.keeps_the_run else run.history()[:first_epoch]
    identification = run.identification_seconds()
    elapsed = float(history[-1]["elapsed"]) if history else identification
    guard = DivergenceGuard(history=history)
    given_up = guard.restores > guard.patience
    used_up = minutes is not None and _is_used_up(history, identification, 60 * minutes)
    if first_epoch >= epochs or given_up or used_up:
        logger.info("%s is finished: %d epochs in %.0f s.", run.path, first_epoch, elapsed)
        return model

    stages = experiment.stages if iterations is None else ((0.0, iterations),)
    callbacks = [
        Curriculum(
            experiment.learning_rate,
            stages,
            epochs,
            minutes,
            elapsed,
            experiment.warm_up,
            identification,
        ),
        guard,
    ]
    if worker.keeps_the_run:
        callbacks += [
            # Before the checkpoint: the log may be ahead of the model, never behind.
            Log(run),
            Checkpoint(run),
            keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
        ]
    done = first_epoch * steps_per_epoch
    callbacks += windows.callbacks(model, done // steps_per_pass)
    batches = windows.batches(batch_size, done // steps_per_pass, worker.share)
    # Every worker has some to validate on: those of all, where there is not one for each.
    share = worker.share if len(windows.validation[1]) >= worker.workers else slice(None)
    validation = tf.nest.map_structure(
        lambda each: each[share].astype("float32"), windows.validation
    )
    if worker.strategy is None:
        fit = partial(model.fit, shuffle=False, verbose=verbose)
    else:
        fit = partial(train_loop, model, strategy=worker.strategy)
    fit(
        batches.skip(done % steps_per_pass),
        steps_per_epoch=steps_per_epoch,
        initial_epoch=first_epoch,
        epochs=epochs,
        validation_data=validation,
        callbacks=[*callbacks, *worker.callbacks],
    )
    return model


def _begin(experiment, run, windows, seed):
    """Save the model with which the training begins."""
    model = _new_model(experiment, windows, seed)
    if experiment.identification_epochs:
        started = time.monotonic()
        identify_prior(model, windows.truth, experiment.identification_epochs)
        run.note_identification(time.monotonic() - started)
    model.optimizer.build(model.trainable_variables)
    with run.replacing(run.model) as temporary:
        model.save(temporary)


def _check_model(model: FourDVarNet, experiment: Experiment, run: RunDirectory) -> None:
    """Refuse to go on with a model that the experiment would not have made."""
    assert experiment.build is not None
    expected = experiment.build()
    expected.build(model.observations_shape)
    found = getattr(model, "optimizer", None)
    if not isinstance(found, keras.optimizers.Adam) or found.clipnorm != CLIPNORM:
        what = f"is trained by {type(found).__name__}" if found else "has no optimiser"
    else:
        differing = _differing(
            model.get_config() | {"loss": json.dumps(recorded_loss(model.training_loss))},
            expected.get_config() | {"loss": json.dumps(recorded_loss(experiment.loss))},
        )
        if differing is None:
            return
        what = f"has another {differing}"
    raise InputError(
        f"{run.model} {what}, and is not one that {experiment.name} trains: it came from "
        "elsewhere. Put the run's own model there, or train it anew in another folder."
    )


def _differing(found: Any, expected: Any, name: str = "model") -> str | None:
    """The innermost part in which two configurations differ; None if they are the same."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted((found.keys() | expected.keys()) - PASSING, key=str):
            inner = _differing(found.get(key), expected.get(key), str(key))
            if inner is not None:
                return name if inner == "config" else inner
        return None
    if isinstance(found, list | tuple) and isinstance(expected, list | tuple):
        same = len(found) == len(expected)
        parts = [_differing(*pair, name) for pair in zip(found, expected, strict=False)]
        return None if same and not any(parts) else name
    return None if found == expected else name


def _is_used_up(history: list[dict[str, Any]], identification: float, budget: float) -> bool:
    """Whether another epoch like the last would pass the budget, as `Curriculum` decides."""
    ends = [identification, *(float(row["elapsed"]) for row in history)]
    return len(ends) > 1 and 2 * ends[-1] - ends[-2] > budget


def _new_model(experiment: Experiment, windows: TrainingWindows, seed: int) -> FourDVarNet:
    """A model with initial weights, adapted to training windows and compiled."""
    assert experiment.build is not None
    keras.utils.set_random_seed(seed)
    model = experiment.build()
    windows.adapt(model)
    optimizer = keras.optimizers.Adam(experiment.learning_rate, clipnorm=CLIPNORM)
    model.compile(optimizer, experiment.loss, metrics=windows.metrics)
    return model


def recorded_loss(loss: TrainingLoss) -> dict[str, Any]:
    """A loss as a record of it.

    Args:
        loss: of a training.
    """
    return {"name": type(loss).__name__, **loss.get_config()}
