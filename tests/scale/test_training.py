"""Training on a Ray cluster of this machine; skipped where the extra `ray` is not installed."""

import csv
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tf4dvar.errors import InputError
from tf4dvar.experiments import experiment_by_name
from tf4dvar.layers import FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet
from tf4dvar.scale.training import train_with_workers
from tf4dvar.training import train

pytest.importorskip("ray.train", reason="needs Ray: pip install '.[ray]'")
pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("cluster"),
    # Of Ray's own code.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

# Traced in a second; what is trained are the prior and the step.
ROW = replace(
    experiment_by_name("l63-sup-genn-lstm"),
    build=lambda: FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1))),
    batch_size=16,
    stages=((0.0, 2),),
)
OPTIONS = {"windows": 64, "seed": 3}


def history(out):
    with (out / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def losses(out):
    rows = history(out)
    return np.array([[float(row[name]) for name in ("loss", "val_loss")] for row in rows])


def assert_same(one, other):
    """Models, up to rounding: their prior began with weights of order one."""
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("fresh", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_workers_have_the_losses_of_one_process(fresh, tmp_path):
    row = replace(ROW, fresh=fresh)
    alone = train(row, tmp_path / "alone", epochs=3, **OPTIONS)
    two = train_with_workers(row, tmp_path / "two", 2, epochs=3, **OPTIONS)
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "alone"), rtol=1e-5)
    assert_same(two, alone)


def train_workers():
    """The processes of workers at work."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::RayTrainWorker"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def lose_one(workers, out):
    os.kill(workers[0], signal.SIGKILL)


def lose_all_and_the_model(workers, out):
    """No one is left who would write: what is at hand is Ray Train's checkpoint."""
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    (out / "model.keras").write_bytes(b"")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers in /proc")
@pytest.mark.parametrize("lose", [lose_one, lose_all_and_the_model])
def test_lost_workers_cost_no_finished_epoch(lose, tmp_path):
    epochs = 40
    out = tmp_path / "lost"
    lost, over = [], threading.Event()

    def kill():
        while not over.wait(0.02):
            workers = train_workers()
            if len(workers) == 2 and (out / "log.csv").exists() and len(history(out)) >= 3:
                lost.append(len(history(out)))
                return lose(workers, out)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        model = train_with_workers(ROW, out, 2, epochs=epochs, **OPTIONS)
    finally:
        over.set()
        killer.join()
    (done,) = lost
    assert done < epochs
    assert [int(row["epoch"]) for row in history(out)] == list(range(epochs))
    assert_same(model, train(ROW, tmp_path / "alone", epochs=epochs, **OPTIONS))
    # One that was not yet told to Ray Train when workers were lost stays beside it.
    checkpoint = max(path.parent for path in (out / "ray").glob("*/model.keras"))
    for name in ("model.keras", "log.csv"):
        assert (checkpoint / name).read_bytes() == (out / name).read_bytes()


def test_workers_that_cannot_share_the_batches_are_refused(tmp_path):
    with pytest.raises(InputError, match="3 workers for batches of 16"):
        train_with_workers(ROW, tmp_path / "run", 3, **OPTIONS)
    assert not (tmp_path / "run").exists()
