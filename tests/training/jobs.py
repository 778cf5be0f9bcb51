"""Small trainings, and what their tests share."""

import csv
from dataclasses import replace

import keras

from tf4dvar.experiments import experiment_by_name
from tf4dvar.layers import FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet
from tf4dvar.training import fitting, train
from tf4dvar.training.run_directory import Checkpoint

SMALL = {"epochs": 4, "windows": 256, "seed": 3}
# With a prior of known dynamics a short training diverges, and rounding decides where it ends.
ROW = experiment_by_name("l63-sup-genn-lstm")

# Traced in a second, for what does not depend on the model.
TINY = replace(
    ROW,
    build=lambda: FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1))),
    batch_size=16,
    stages=((0.0, 1),),
)
TINY_OPTIONS = {"row": TINY, "windows": 32, "epochs": 2}


def run(out, row=ROW, **changes):
    return train(row, out, **{**SMALL, **changes})


def interrupted(monkeypatch, out, last_epoch=0, **options):
    """A training that ends after that epoch."""

    class Interruption(Checkpoint):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if epoch == last_epoch:
                self.model.stop_training = True

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "Checkpoint", Interruption)
        run(out, **options)


def epochs_of(out):
    with (out / "log.csv").open(newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]
