"""Training an experiment into a run directory."""

import json
import logging
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import xarray as xr

from tf4dvar.data import Signature, number_of, protocol_plan, simulate_dataset
from tf4dvar.data.pipeline import fixed_windows, simulated_windows
from tf4dvar.errors import InputError
from tf4dvar.evaluation.metrics import RScore
from tf4dvar.experiments import Experiment
from tf4dvar.models import FourDVarNet, TrainingLoss, load_model
from tf4dvar.systems import TEST_SEED, system_by_name
from tf4dvar.training.curriculum import Curriculum
from tf4dvar.training.divergence_guard import DivergenceGuard
from tf4dvar.training.identification import identify_prior
from tf4dvar.training.loop import train_loop
from tf4dvar.training.run_directory import Checkpoint, Log, RunDirectory
from tf4dvar.training.worker_share import WorkerShare

logger = logging.getLogger(__name__)

# At most as many, and at most a twentieth of the training windows: they cost time every epoch.
VALIDATION_WINDOWS = 500
VALIDATION_SHARE = 0.05
# Added to the seed: the validation windows are another data set than the training windows.
VALIDATION_SEED = 1_000_003

# What a training may be asked beyond its experiment; of it a run directory keeps a record.
ASKED = ("epochs", "minutes", "iterations", "windows", "seed")
CLIPNORM = 1.0
# What changes in a training: K by its schedule, what is frozen when the prior was identified; and
# what the data tell, not the experiment.
PASSING = {"name", "iterations", "trainable", "build_config", "shared_object_id", "signature"}

# Keras asks for a number of epochs also where the clock ends a training.
NO_END = 1_000_000

ALONE = WorkerShare()


def train(
    experiment: Experiment,
    out: str | Path,
    epochs: int | None = None,
    minutes: float | None = None,
    iterations: int | None = None,
    windows: int | None = None,
    seed: int = 0,
    resume: bool = False,
    verbose: str | int = "auto",
) -> FourDVarNet:
    """Train an experiment, or continue its training.

    Stopped at any moment, even by kill -9, it continues with `resume` from the last finished
    epoch, with the optimiser, the epoch and the schedule where they were.

    Args:
        experiment: what to train.
        out: the run directory; see `RunDirectory`.
        epochs: number of epochs in all; by default the experiment's, or with `minutes` as many as
            there is time for.
        minutes: time budget, resumed pieces counted together. The schedule then follows the
            clock, and the result depends on the machine.
        iterations: K from the first epoch on, in place of the curriculum.
        windows: number of training windows in place of the experiment's.
        seed: of the training windows and the initial weights.
        resume: continue.
        verbose: of Keras' `fit`.

    Returns:
        The trained model, which is also in `out/model.keras`.

    Raises:
        InputError: see `options_of` and `RunDirectory.claimed`.
    """
    run = RunDirectory(Path(out))
    options = options_of(experiment, epochs, minutes, iterations, windows, seed)
    with run.claimed(options, definition_of(experiment), resume) as claimed:
        return work(experiment, claimed, options, verbose=verbose)


def options_of(
    experiment: Experiment,
    epochs: int | None,
    minutes: float | None,
    iterations: int | None,
    windows: int | None,
    seed: int,
) -> dict[str, Any]:
    """What a run directory records of a training; the arguments are those of `train`.

    Raises:
        InputError: the experiment learns nothing, there is no time, or the seed is that of the
            test windows.
    """
    check_minutes(minutes)
    if seed == TEST_SEED:
        raise InputError(
            f"Received the seed {seed}, that of the windows on which models are scored; train with "
            "another."
        )
    if experiment.build is None:
        raise InputError(
            f"{experiment.name} learns nothing and cannot be trained; "
            "`tf4dvar assimilate fsgd` and `tf4dvar tables` run it."
        )
    return {
        "experiment": experiment.name,
        "protocol": experiment.protocol,
        "epochs": epochs or (None if minutes else experiment.epochs),
        "minutes": minutes,
        "iterations": iterations,
        "windows": windows or experiment.windows,
        "seed": seed,
    }


def check_minutes(minutes: float | None) -> None:
    """Refuse a time budget without an end or without a beginning.

    Args:
        minutes: of a training; None where there is no budget.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(
            f"Received a time budget of {minutes} minutes; expected more than 0, and an end."
        )


def definition_of(experiment: Experiment) -> dict[str, Any]:
    """What a run directory records of the experiment itself, in JSON's types.

    Another version of the package may train the same name in another way.

    Args:
        experiment: one that learns; `options_of` refuses the others.
    """
    names = ("batch_size", "steps_per_epoch", "learning_rate", "warm_up", "stages", "fresh")
    definition = {name: getattr(experiment, name) for name in (*names, "identification_epochs")}
    definition["loss"] = _recorded(experiment.loss)
    return json.loads(json.dumps(definition))


def _recorded(loss: TrainingLoss) -> dict[str, Any]:
    return {"name": type(loss).__name__, **loss.get_config()}


def work(
    experiment: Experiment,
    run: RunDirectory,
    options: dict[str, Any],
    worker: WorkerShare = ALONE,
    verbose: str | int = "auto",
) -> FourDVarNet:
    """Train in a claimed run directory, from its last finished epoch on.

    Args:
        experiment: what to train.
        run, options: where, and what `options_of` says of it.
        worker: whose share of the work it is, for one of several workers.
        verbose: of Keras' `fit`, which one process alone calls.
    """
    epochs, minutes, iterations, windows, seed = (options[name] for name in ASKED)
    if epochs is None:
        epochs = NO_END
    system = system_by_name(experiment.system)
    plan = protocol_plan(experiment.system, experiment.protocol)
    data = simulate_dataset(system, plan, windows, seed=seed)
    validation_windows = min(VALIDATION_WINDOWS, max(1, int(VALIDATION_SHARE * windows)))
    validation = simulate_dataset(system, plan, validation_windows, seed=seed + VALIDATION_SEED)
    observations, truth = data["observations"].values, data["truth"].values
    batch_size = min(experiment.batch_size, windows)
    steps_per_pass = windows // batch_size
    steps_per_epoch = min(experiment.steps_per_epoch or steps_per_pass, steps_per_pass)

    resumed = run.model.is_file()
    if worker.keeps_the_run and not resumed:
        _begin(experiment, run, data, seed)
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
    first_pass = done // steps_per_pass
    if experiment.fresh:
        batches = simulated_windows(
            system, plan, windows, truth.shape[1], batch_size, seed, first_pass, worker.share
        )
    else:
        batches = fixed_windows(observations, truth, batch_size, seed, first_pass, worker.share)
    # Every worker has some to validate on: those of all, where there is not one for each.
    share = worker.share if validation_windows >= worker.workers else slice(None)
    validation = validation.isel(window=share).astype("float32")
    if worker.strategy is None:
        fit = partial(model.fit, shuffle=False, verbose=verbose)
    else:
        fit = partial(train_loop, model, strategy=worker.strategy)
    fit(
        batches.skip(done % steps_per_pass),
        steps_per_epoch=steps_per_epoch,
        initial_epoch=first_epoch,
        epochs=epochs,
        validation_data=(validation["observations"].values, validation["truth"].values),
        callbacks=[*callbacks, *worker.callbacks],
    )
    return model


def learned_weights(experiment: Experiment, model: FourDVarNet) -> int:
    """How many weights were learned, with those of an identified prior, which is frozen by then.

    Args:
        experiment: how the model was trained.
        model: the model.
    """
    weights = [*model.trainable_variables]
    if experiment.identification_epochs:
        weights += [weight for weight in model.prior.variables if not weight.trainable]
    return sum(int(np.prod(weight.shape)) for weight in weights)


def _begin(experiment, run, data, seed):
    """Save the model with which the training begins."""
    model = _new_model(experiment, data, seed)
    if experiment.identification_epochs:
        started = time.monotonic()
        identify_prior(model, data["truth"].values, experiment.identification_epochs)
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
            model.get_config() | {"loss": json.dumps(_recorded(model.training_loss))},
            expected.get_config() | {"loss": json.dumps(_recorded(experiment.loss))},
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


def _new_model(experiment: Experiment, data: xr.Dataset, seed: int) -> FourDVarNet:
    """A model with initial weights, adapted to training windows and compiled."""
    assert experiment.build is not None
    keras.utils.set_random_seed(seed)
    model = experiment.build()
    model.adapt(data["observations"].values)
    model.signature = Signature.of(data["observations"], number_of(data, "noise_variance"))
    optimizer = keras.optimizers.Adam(experiment.learning_rate, clipnorm=CLIPNORM)
    model.compile(optimizer, experiment.loss, metrics=[RScore()])
    return model
