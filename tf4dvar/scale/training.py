"""Training in several processes, on this machine or a cluster."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras

from tf4dvar.errors import InputError
from tf4dvar.experiments import Experiment
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.runtime import load_tensorflow
from tf4dvar.scale.workers import ONE_THREAD, ray_at
from tf4dvar.training.job import definition_of, options_of, work
from tf4dvar.training.run_directory import RunDirectory
from tf4dvar.training.worker_share import WorkerShare

# How often a training goes on from its last checkpoint after a worker was lost.
RESTARTS = 3
# Ray Train's own folder in the run directory.
RAY = "ray"


def train_with_workers(
    experiment: Experiment,
    out: str | Path,
    workers: int,
    address: str | None = None,
    epochs: int | None = None,
    iterations: int | None = None,
    windows: int | None = None,
    seed: int = 0,
    resume: bool = False,
) -> FourDVarNet:
    """As `tf4dvar.training.train`, in several processes on Ray that share every batch.

    The batches are those of one process, and so are the losses, up to rounding: neither the
    learning rate nor the seed depends on the number of workers, and a training may go on with
    another number of them. A lost worker ends the epoch for all, and the training goes on by itself
    from Ray Train's last checkpoint, that of the last finished epoch.

    Args:
        experiment, epochs, iterations, windows, seed, resume: see `tf4dvar.training.train`.
        out: the run directory, on a file system that all workers see.
        workers, address: see `ray_workers`.

    Raises:
        InputError: as `train`; the batches cannot be shared evenly; Ray is not there; workers were
            lost too often.
    """
    options = options_of(experiment, epochs, None, iterations, windows, seed)
    batch_size = min(experiment.batch_size, options["windows"])
    if batch_size % workers:
        raise InputError(
            f"Received {workers} workers for batches of {batch_size} windows; expected a number "
            "that divides it, so that every worker has as many of them."
        )
    run = RunDirectory(Path(out).absolute())
    with (
        run.claimed(options, definition_of(experiment), resume) as claimed,
        ray_at(address, workers),
    ):
        _fit(experiment, claimed, options, workers)
    return load_model(run.model)


def _fit(experiment, run, options, workers):
    from ray.train import (
        CheckpointConfig,
        FailureConfig,
        RunConfig,
        ScalingConfig,
        TrainingFailedError,
    )
    from ray.train.tensorflow import TensorflowTrainer

    # An earlier call's checkpoints: the run directory is as far, or further if one process went on.
    shutil.rmtree(run.path / RAY, ignore_errors=True)
    trainer = TensorflowTrainer(
        _work,
        train_loop_config={"experiment": experiment, "run": run, "options": options},
        scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 1}),
        # mypy sees the class of an earlier Ray Train.
        run_config=RunConfig(  # type: ignore[call-arg]
            name=RAY,
            storage_path=str(run.path),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=RESTARTS),
            worker_runtime_env={"env_vars": ONE_THREAD},
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise InputError(str(error)) from error


def _work(config: Mapping[str, Any]) -> None:
    """What every worker runs."""
    import ray.train
    import tensorflow as tf

    # TensorFlow connects to its peers before anything else that it does.
    tf.get_logger().setLevel(logging.ERROR)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    load_tensorflow()
    context = ray.train.get_context()
    run = config["run"]
    worker = WorkerShare(
        context.get_world_rank(), context.get_world_size(), strategy, [_Report(run)]
    )
    checkpoint = ray.train.get_checkpoint()
    if checkpoint and worker.keeps_the_run:
        with checkpoint.as_directory() as folder:
            for file in _files(run):
                with run.replacing(file) as temporary:
                    shutil.copyfile(Path(folder) / file.name, temporary)
    work(config["experiment"], run, config["options"], worker)


class _Report(keras.callbacks.Callback):
    """Gives Ray Train every epoch's scores, and what is to go on from."""

    def __init__(self, run: RunDirectory):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        """Returns when all workers are at the end of the epoch."""
        import ray.train

        with TemporaryDirectory() as folder:
            checkpoint = None
            if ray.train.get_context().get_world_rank() == 0:
                for file in _files(self.run):
                    shutil.copy(file, folder)
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"epoch": epoch, **logs}, checkpoint=checkpoint)


def _files(run):
    """What a training goes on from."""
    return run.model, run.log
