import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.jobs import ROW, TINY, TINY_OPTIONS, epochs_of, interrupted, run
from tf4dvar.errors import InputError
from tf4dvar.training import DivergenceGuard, RunDirectory, windows
from tf4dvar.training.job import options_of

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", autouse=True)
def deterministic():
    """As the commands are: trainings are compared, and differences of rounding grow in them."""
    tf.config.experimental.enable_op_determinism()


def assert_same_weights(ours, theirs):
    """To a tenth of a single step of Adam, which rounding in another process stays below.

    `torture/faults.py` compares to 1e-6, every training in a process of its own.
    """
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=0.1 * ROW.learning_rate)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, run(out)


def test_a_run_directory_holds_all_there_is_to_know(uninterrupted):
    out, model = uninterrupted
    record = json.loads((out / "config.json").read_text())
    assert record["options"]["experiment"] == ROW.name
    assert record["options"]["seed"] == 3
    assert set(record["versions"]) == {"tf4dvar", "tensorflow", "keras", "numpy"}
    assert epochs_of(out) == [0, 1, 2, 3]
    assert list((out / "tensorboard").iterdir())
    saved = keras.saving.load_model(out / "model.keras")
    for ours, theirs in zip(saved.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_kill_9_and_resume_end_where_an_uninterrupted_training_does(uninterrupted, tmp_path):
    _, whole = uninterrupted
    out = tmp_path / "killed"
    command = (
        "import pathlib, sys; import tensorflow as tf; from tests.training.jobs import run; "
        "tf.config.experimental.enable_op_determinism(); run(pathlib.Path(sys.argv[1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", command, str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (out / "model.keras").exists():
        assert time.monotonic() < deadline
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(epochs_of(out)) if (out / "log.csv").exists() else 0
    assert done < 4

    resumed = run(out, resume=True)
    assert epochs_of(out) == [0, 1, 2, 3]
    assert_same_weights(resumed, whole)
    assert int(resumed.optimizer.iterations) == int(whole.optimizer.iterations)


def test_a_resumed_training_on_fresh_windows_sees_those_of_an_uninterrupted_one(
    tmp_path, monkeypatch
):
    fixed = run(tmp_path / "fixed", **TINY_OPTIONS)
    options = {**TINY_OPTIONS, "row": replace(TINY, fresh=True)}
    whole = run(tmp_path / "whole", **options)

    interrupted(monkeypatch, tmp_path / "stopped", **options)
    assert epochs_of(tmp_path / "stopped") == [0]
    resumed = run(tmp_path / "stopped", **options, resume=True)
    assert_same_weights(resumed, whole)
    assert any(
        not np.allclose(ours, theirs, rtol=0, atol=0.1 * ROW.learning_rate)
        for ours, theirs in zip(fixed.get_weights(), whole.get_weights(), strict=True)
    )


def test_a_finished_training_is_not_trained_further(uninterrupted):
    out, model = uninterrupted
    again = run(out, resume=True)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    assert epochs_of(out) == [0, 1, 2, 3]


def test_a_training_is_never_overwritten_or_mixed_up(uninterrupted, tmp_path):
    out, _ = uninterrupted
    with pytest.raises(InputError, match="resume=True"):
        run(out)
    with pytest.raises(InputError, match="same options"):
        run(out, resume=True, seed=4)
    with pytest.raises(InputError, match="no training"):
        run(tmp_path / "nothing", resume=True)
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(InputError, match="exists"):
        run(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "precious"


def test_what_the_guard_did_is_remembered_when_a_training_resumes(tmp_path, monkeypatch):
    """The learning rate stays halved, as in a training that was not stopped."""
    look = DivergenceGuard.on_train_batch_end

    def poisoned(self, batch, logs=None):
        look(self, batch, {"loss": np.nan} if (self._epoch, batch) == (0, 1) else logs)

    monkeypatch.setattr(DivergenceGuard, "on_train_batch_end", poisoned)
    options = {**TINY_OPTIONS, "epochs": 3}
    run(tmp_path / "whole", **options)
    interrupted(monkeypatch, tmp_path / "stopped", **options)
    run(tmp_path / "stopped", **options, resume=True)
    whole, stopped = (RunDirectory(tmp_path / name).history() for name in ("whole", "stopped"))
    for column in ("restores", "learning_rate"):
        assert [row[column] for row in stopped] == [row[column] for row in whole]
    assert [row["restores"] for row in whole] == ["1", "1", "1"]


def test_a_training_does_not_go_on_under_another_definition(tmp_path, monkeypatch):
    out = tmp_path / "run"
    interrupted(monkeypatch, out, **TINY_OPTIONS)
    definition = json.loads((out / "config.json").read_text())["definition"]
    assert (definition["loss"]["name"], definition["stages"]) == ("SupervisedLoss", [[0.0, 1]])
    other = replace(TINY, learning_rate=1.0)
    with pytest.raises(InputError, match=r"\(learning_rate=0\.002; now learning_rate=1\.0\)"):
        run(out, **{**TINY_OPTIONS, "row": other}, resume=True)
    run(out, **TINY_OPTIONS, resume=True)
    assert epochs_of(out) == [0, 1]


def test_a_training_that_the_guard_gave_up_is_finished(tmp_path, monkeypatch):
    out = tmp_path / "run"
    interrupted(monkeypatch, out, **TINY_OPTIONS)
    directory = RunDirectory(out)
    directory.write_log([row | {"restores": 4} for row in directory.history()])
    before = directory.model.read_bytes()
    run(out, **TINY_OPTIONS, resume=True)
    assert epochs_of(out) == [0]
    assert directory.model.read_bytes() == before


@pytest.mark.parametrize("minutes", [0.0, -1.0, np.nan, np.inf])
def test_a_time_budget_has_a_beginning_and_an_end(minutes, tmp_path):
    with pytest.raises(InputError, match="expected more than 0"):
        run(tmp_path / "run", minutes=minutes)
    assert not (tmp_path / "run").exists()


def test_with_a_time_budget_alone_the_clock_ends_a_training(tmp_path, monkeypatch):
    def epochs(epochs=None, minutes=None):
        return options_of(TINY, epochs, minutes, None, None, 0)["epochs"]

    assert epochs() == TINY.epochs
    assert epochs(3) == epochs(3, 20.0) == 3
    assert epochs(minutes=20.0) is None

    # It goes beyond the epochs of the experiment, until it is stopped.
    options = {"row": replace(TINY, epochs=1), "windows": 32, "epochs": None, "minutes": 60.0}
    interrupted(monkeypatch, tmp_path / "run", last_epoch=2, **options)
    assert epochs_of(tmp_path / "run") == [0, 1, 2]


def test_the_seed_of_the_test_windows_is_refused(tmp_path):
    with pytest.raises(InputError, match="train with another"):
        run(tmp_path / "run", seed=2021)
    assert not (tmp_path / "run").exists()


def test_the_time_of_identification_counts_also_when_the_first_epoch_is_killed(
    tmp_path, monkeypatch
):
    out = tmp_path / "run"
    options = {**TINY_OPTIONS, "row": replace(TINY, identification_epochs=1), "minutes": 60.0}

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(windows, "fixed_windows", stop)
        with pytest.raises(KeyboardInterrupt):
            run(out, **options)
    seconds = RunDirectory(out).identification_seconds()
    assert seconds > 0
    run(out, **options, resume=True)
    assert epochs_of(out) == [0, 1]
    assert RunDirectory(out).identification_seconds() == seconds
    assert float(RunDirectory(out).history()[0]["elapsed"]) > seconds
