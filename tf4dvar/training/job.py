"""Training an experiment into a run directory."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf4dvar.data import atomic_path, protocol_plan, simulate_dataset
from tf4dvar.data.pipeline import fixed_windows, simulated_windows
from tf4dvar.errors import InputError
from tf4dvar.evaluation import load_model
from tf4dvar.experiments import Experiment
from tf4dvar.metrics import RScore
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import system_by_name
from tf4dvar.training.curriculum import Curriculum
from tf4dvar.training.divergence_guard import DivergenceGuard
from tf4dvar.training.identification import identify_prior
from tf4dvar.training.run_directory import Checkpoint, Log, RunDirectory

logger = logging.getLogger(__name__)

# At most as many, and at most a twentieth of the training windows: they cost time every epoch.
VALIDATION_WINDOWS = 500
VALIDATION_SHARE = 0.05
# Added to the seed: the validation windows are another data set than the training windows.
VALIDATION_SEED = 1_000_003


def train(
    experiment: Experiment,
    out: str | Path,
    epochs: int | None = None,
    minutes: float | None = None,
    iterations: int | None = None,
    windows: int | None = None,
    seed: int = 0,
    resume: bool = False,
) -> FourDVarNet:
    """Train an experiment, or continue its training.

    Stopped at any moment, even by kill -9, it continues with `resume` from the last finished
    epoch, with the optimiser, the epoch and the schedule where they were.

    Args:
        experiment: what to train.
        out: the run directory; see `RunDirectory`.
        epochs: number of epochs in all; the experiment's by default.
        minutes: time budget, resumed pieces counted together. The schedule then follows the
            clock, and the result depends on the machine.
        iterations: K from the first epoch on, in place of the curriculum.
        windows: number of training windows in place of the experiment's.
        seed: of the training windows and the initial weights.
        resume: continue.

    Returns:
        The trained model, which is also in `out/model.keras`.

    Raises:
        InputError: the experiment learns nothing, or the folder does not fit; see
            `RunDirectory.claimed`.
    """
    if experiment.build is None:
        raise InputError(
            f"{experiment.name} learns nothing and cannot be trained; "
            "`tf4dvar assimilate fsgd` and `tf4dvar tables` run it."
        )
    run = RunDirectory(Path(out))
    epochs = epochs or experiment.epochs
    windows = windows or experiment.windows
    options = {
        "experiment": experiment.name,
        "protocol": experiment.protocol,
        "epochs": epochs,
        "minutes": minutes,
        "iterations": iterations,
        "windows": windows,
        "seed": seed,
    }
    with run.claimed(options, resume):
        return _train(experiment, run, epochs, minutes, iterations, windows, seed, resume)


def _train(experiment, run, epochs, minutes, iterations, windows, seed, resume) -> FourDVarNet:
    system = system_by_name(experiment.system)
    plan = protocol_plan(experiment.system, experiment.protocol)
    data = simulate_dataset(system, plan, windows, seed=seed)
    validation_windows = min(VALIDATION_WINDOWS, max(1, int(VALIDATION_SHARE * windows)))
    validation = simulate_dataset(system, plan, validation_windows, seed=seed + VALIDATION_SEED)
    observations, truth = data["observations"].values, data["truth"].values
    batch_size = min(experiment.batch_size, windows)
    steps_per_pass = windows // batch_size
    steps_per_epoch = min(experiment.steps_per_epoch or steps_per_pass, steps_per_pass)

    if resume and run.model.is_file():
        model = load_model(run.model)
        first_epoch = int(model.optimizer.iterations) // steps_per_epoch
    else:
        model = new_model(experiment.build, experiment.learning_rate, observations, seed)
        first_epoch = 0
    history = run.keep(first_epoch)
    elapsed = float(history[-1]["elapsed"]) if history else 0.0
    if experiment.identification_epochs and model.prior.trainable:
        started = time.monotonic()
        identify_prior(model, truth, experiment.identification_epochs)
        elapsed = time.monotonic() - started
        # From here on a resumed training finds the identified prior.
        model.optimizer.build(model.trainable_variables)
        with atomic_path(run.model) as temporary:
            model.save(temporary)
    if first_epoch >= epochs or (minutes is not None and _is_used_up(history, 60 * minutes)):
        logger.info("%s is finished: %d epochs in %.0f s.", run.path, first_epoch, elapsed)
        return model

    stages = experiment.stages if iterations is None else ((0.0, iterations),)
    done = first_epoch * steps_per_epoch
    first_pass = done // steps_per_pass
    if experiment.fresh:
        batches = simulated_windows(
            system, plan, windows, truth.shape[1], batch_size, seed, first_pass
        )
    else:
        batches = fixed_windows(observations, truth, batch_size, seed, first_pass)
    model.fit(
        batches.skip(done % steps_per_pass),
        steps_per_epoch=steps_per_epoch,
        initial_epoch=first_epoch,
        epochs=epochs,
        shuffle=False,
        validation_data=(
            validation["observations"].values.astype("float32"),
            validation["truth"].values.astype("float32"),
        ),
        callbacks=[
            Curriculum(
                experiment.learning_rate, stages, epochs, minutes, elapsed, experiment.warm_up
            ),
            # A log that was begun by an earlier version may lack the column.
            DivergenceGuard(restores=int(history[-1].get("restores", 0)) if history else 0),
            # Before the checkpoint: the log may be ahead of the model, never behind.
            Log(run),
            Checkpoint(run.model),
            keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
        ],
    )
    return model


def _is_used_up(history: list[dict[str, Any]], budget: float) -> bool:
    """Whether another epoch like the last would pass the budget, as `Curriculum` decides."""
    ends = [0.0, *(float(row["elapsed"]) for row in history)]
    return len(ends) > 1 and 2 * ends[-1] - ends[-2] > budget


def new_model(
    build: Callable[[], FourDVarNet], learning_rate: float, observations: np.ndarray, seed: int
) -> FourDVarNet:
    """A model with initial weights, adapted to training observations and compiled."""
    keras.utils.set_random_seed(seed)
    model = build()
    model.adapt(observations)
    model.compile(
        keras.optimizers.Adam(learning_rate, clipnorm=1.0),
        metrics=[RScore()],
        # XLA is slow on loops, and they are what the solver is made of on a CPU.
        jit_compile=False,
    )
    return model
