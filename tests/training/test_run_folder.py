"""A folder of a run is of one training alone, whatever happens to it."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from tests.training.jobs import TINY, TINY_OPTIONS, epochs_of, interrupted, run
from tf4dvar.errors import InputError
from tf4dvar.layers import FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet, UnsupervisedLoss, load_model, twin
from tf4dvar.training import RunDirectory
from tf4dvar.training.job import options_of
from tf4dvar.training.run_directory import Checkpoint, Log


@pytest.fixture(scope="module", autouse=True)
def deterministic():
    """As the commands are: trainings are compared, and differences of rounding grow in them."""
    tf.config.experimental.enable_op_determinism()


def test_the_log_is_cut_back_to_the_finished_epochs(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.log.write_text("epoch,elapsed,loss\n0,2.5,1\n1,5.5,1\n2,9.5,1\n")
    assert [row["elapsed"] for row in directory.keep(2)] == ["2.5", "5.5"]
    assert epochs_of(tmp_path) == [0, 1]
    # A column that came later is empty in the lines before.
    Log(directory).on_epoch_end(2, {"restores": 1, "loss": 2.0, "elapsed": 9.5})
    assert [row.get("restores") for row in directory.history()] == ["", "", "1"]
    assert directory.keep(0) == []
    assert directory.history() == []


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    options = options_of(TINY, 2, None, None, 32, 1)
    with directory.claimed(options, {}, resume=False):
        for resume in (False, True):
            with (
                pytest.raises(InputError, match=r"Another process is at work in .*run"),
                directory.claimed(options, {}, resume),
            ):
                pass
    with directory.claimed(options, {}, resume=True):
        pass


def test_a_training_that_was_killed_as_it_began_can_begin_again(tmp_path):
    (tmp_path / ".config.4194305.json").write_text('{"options"')
    with pytest.raises(InputError, match="no training"):
        run(tmp_path, resume=True)
    with RunDirectory(tmp_path).claimed({"seed": 1}, {}, resume=False):
        assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.long
@pytest.mark.parametrize("written", ["model.keras", "log.csv"])
def test_a_full_disk_is_an_error_and_the_checkpoint_stays(written, tmp_path, monkeypatch):
    out = tmp_path / "run"
    interrupted(monkeypatch, out, **TINY_OPTIONS)
    before = (out / "model.keras").read_bytes()
    sync = os.fsync

    def full(descriptor):
        if f"/.{Path(written).stem}." in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device", written)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        run(out, **TINY_OPTIONS, resume=True)
    assert (out / "model.keras").read_bytes() == before
    assert not list(out.glob(".*"))
    monkeypatch.undo()
    run(out, **TINY_OPTIONS, resume=True)
    assert epochs_of(out) == [0, 1]


def test_a_damaged_checkpoint_is_named(tmp_path, monkeypatch):
    interrupted(monkeypatch, tmp_path / "run", **TINY_OPTIONS)
    (tmp_path / "run" / "model.keras").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"model\.keras cannot be loaded"):
        run(tmp_path / "run", **TINY_OPTIONS, resume=True)


def test_a_log_with_other_epochs_than_the_model_is_not_cut(tmp_path, monkeypatch):
    """As of a training that an earlier version began with shorter epochs."""
    out = tmp_path / "run"
    interrupted(monkeypatch, out, **TINY_OPTIONS)
    directory = RunDirectory(out)
    (line,) = directory.history()
    directory.write_log([line | {"epoch": epoch} for epoch in range(3)])
    with pytest.raises(InputError, match=r"3 epochs, .*model\.keras 1 of 2 steps"):
        run(out, **TINY_OPTIONS, resume=True)
    assert epochs_of(out) == [0, 1, 2]


@pytest.mark.long
def test_a_training_does_not_go_on_with_the_model_of_another(tmp_path, monkeypatch):
    """A file that fits the log's number of epochs, and the steps of an epoch."""
    out, other = tmp_path / "run", tmp_path / "other"
    interrupted(monkeypatch, out, **TINY_OPTIONS)
    before = (out / "model.keras").read_bytes()

    def tanh():
        return FourDVarNet(keras.layers.Dense(3, "tanh"), GradientSolver(FixedStepCell(0.1)))

    unsupervised = {"loss": UnsupervisedLoss()}
    for differing, part in (({"build": tanh}, "activation"), (unsupervised, "loss")):
        shutil.rmtree(other, ignore_errors=True)
        interrupted(monkeypatch, other, **{**TINY_OPTIONS, "row": replace(TINY, **differing)})
        shutil.copy(other / "model.keras", out)
        with pytest.raises(InputError, match=rf"model\.keras has another {part}.*elsewhere"):
            run(out, **TINY_OPTIONS, resume=True)
    # As a published one.
    twin(load_model(out / "model.keras")).save(out / "model.keras")
    with pytest.raises(InputError, match="has no optimiser"):
        run(out, **TINY_OPTIONS, resume=True)
    (out / "model.keras").write_bytes(before)
    run(out, **TINY_OPTIONS, resume=True)
    assert epochs_of(out) == [0, 1]


@pytest.mark.long
def test_a_training_whose_folder_was_replaced_writes_nothing_into_the_new_one(
    tmp_path, monkeypatch
):
    out, moved = tmp_path / "run", tmp_path / "moved"
    checkpoint = Checkpoint.on_epoch_end

    def move_then_save(self, epoch, logs=None):
        out.rename(moved)
        out.mkdir()
        checkpoint(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_epoch_end", move_then_save)
        with pytest.raises(InputError, match="moved or removed meanwhile"):
            run(out, **TINY_OPTIONS)
    assert list(out.iterdir()) == []
    run(moved, **TINY_OPTIONS, resume=True)
    assert epochs_of(moved) == [0, 1]
