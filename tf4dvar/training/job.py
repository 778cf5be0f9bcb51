"""Training an experiment into a run directory."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tf4dvar.data.fields import FIELDS
from tf4dvar.errors import InputError
from tf4dvar.experiments import Experiment
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import TEST_SEED
from tf4dvar.training.cycled_windows import CycledWindows
from tf4dvar.training.fitting import fit_windows, recorded_loss
from tf4dvar.training.run_directory import RunDirectory
from tf4dvar.training.simulated_fields import SimulatedFields
from tf4dvar.training.windows import SimulatedWindows, TrainingWindows
from tf4dvar.training.worker_share import ALONE, WorkerShare

# What a training may be asked beyond its experiment; of it a run directory keeps a record.
ASKED = ("epochs", "minutes", "iterations", "windows", "seed")


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
    if len(experiment.refinements) > 1:  # which earlier versions did not know
        definition["refinements"] = experiment.refinements
    if experiment.cycled:
        definition["cycled"] = True
    definition["loss"] = recorded_loss(experiment.loss)
    return json.loads(json.dumps(definition))


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
    kind: Callable[[Experiment, dict[str, Any]], TrainingWindows]
    kind = CycledWindows if experiment.cycled else SimulatedWindows
    kind = SimulatedFields if experiment.system in FIELDS else kind
    windows = kind(experiment, options)
    return fit_windows(experiment, run, options, windows, worker, verbose)


def learned_weights(experiment: Experiment, model: FourDVarNet) -> int:
    """How many weights were learned, with those of an identified prior, which is frozen by then.

    Args:
        experiment: how the model was trained.
        model: the model.
    """
    weights = [*model.trainable_variables]
    if experiment.identification_epochs:
        identified = [weight for prior in model.priors for weight in prior.variables]
        weights += [weight for weight in identified if not weight.trainable]
    return sum(int(np.prod(weight.shape)) for weight in weights)
