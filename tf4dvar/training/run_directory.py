"""The folder of a training: what it was asked, how it went, what it reached."""

import csv
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import msgspec

from tf4dvar.errors import InputError
from tf4dvar.runtime import versions
from tf4dvar.storage import Claim, atomic_path, locked
from tf4dvar.storage.records import read_record


class _Options(msgspec.Struct):
    epochs: int | None
    minutes: float | None
    iterations: int | None
    windows: int
    seed: int


class _OptionsOfExperiment(_Options):
    experiment: str
    protocol: str


class _Record(msgspec.Struct):
    """A training on one's own data; what has a default, earlier versions did not write."""

    options: _Options
    definition: dict[str, Any] = {}
    identification_seconds: float = 0.0


class _RecordOfExperiment(_Record):
    options: _OptionsOfExperiment


@dataclass(frozen=True)
class RunDirectory:
    """The files of one training.

    `config.json` (options, definition of the experiment, versions), `model.keras` (weights,
    optimiser and with them the number of finished epochs), `log.csv` (one line an epoch),
    `tensorboard/`.

    Attributes:
        path: the folder.
        claim: of whoever trains in it.
    """

    path: Path
    claim: Claim | None = None

    @property
    def config(self) -> Path:
        """What was asked."""
        return self.path / "config.json"

    @property
    def model(self) -> Path:
        """The model at the end of the last finished epoch."""
        return self.path / "model.keras"

    @property
    def log(self) -> Path:
        """The losses and scores of every epoch."""
        return self.path / "log.csv"

    @contextmanager
    def claimed(
        self, options: dict[str, Any], definition: dict[str, Any], resume: bool
    ) -> Iterator["RunDirectory"]:
        """The folder, for a training with these options alone.

        Args:
            options: what the training is asked.
            definition: of its experiment.
            resume: go on with the one that is there.

        Yields:
            The folder, claimed.

        Raises:
            InputError: there is a training already and `resume` is not set, or there is none to
                resume, or it was another one, or it is running.
        """
        self._check_kind(resume)
        if not resume:
            self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path, wait=False) as claim:
            claimed = replace(self, claim=claim)
            if resume:
                claimed._compare(options, definition)
            else:
                claimed._begin(options, definition)
            yield claimed

    def check(self, resume: bool) -> None:
        """Refuse the folder before anything is done for its training.

        Args:
            resume: whether one is to go on there.

        Raises:
            InputError: there is none then, or there is one already.
        """
        self._check_kind(resume)
        if not resume and self.path.is_dir():
            self._check_empty()

    def _check_kind(self, resume):
        if resume:
            self.options()
        elif self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; choose a folder.")

    def _check_empty(self):
        # A training that was killed as it began left hidden files at most.
        if any(not file.name.startswith(".") for file in self.path.iterdir()):
            raise InputError(
                f"{self.path} exists and is left as it is; resume=True continues its training, "
                "or choose another folder."
            )

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """As `atomic_path` for a file in the folder, while it is the one that was claimed.

        Args:
            path: the file to be.

        Raises:
            InputError: another folder has taken its place, which another may be training in.
        """
        with atomic_path(path) as temporary:
            yield temporary
            if self.claim:
                self.claim.check()

    def _compare(self, options, definition):
        record = self._record()
        if record["options"] != options:
            raise InputError(
                f"{self.path} was trained with {record['options']}; received {options}. "
                "Resume with the same options, or choose another folder."
            )
        # That of a training that was begun by an earlier version is not known.
        began = record.get("definition", definition)
        changed = [name for name in definition if began.get(name) != definition[name]]
        if changed:
            raise InputError(
                f"{self.path} was begun with another definition of {options['experiment']} "
                f"({', '.join(f'{name}={began.get(name)}' for name in changed)}; now "
                f"{', '.join(f'{name}={definition[name]}' for name in changed)}). "
                "Train it anew in another folder."
            )

    def _begin(self, options, definition):
        self._check_empty()
        record = {
            "options": options,
            "definition": definition,
            "versions": versions(),
            "python": platform.python_version(),
        }
        self._write(record)

    def _write(self, record):
        with self.replacing(self.config) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")

    def note_identification(self, seconds: float) -> None:
        """Add to the record how long it took to identify the prior.

        Args:
            seconds: wall clock.
        """
        self._write({**self._record(), "identification_seconds": seconds})

    def identification_seconds(self) -> float:
        """How long it took to identify the prior; 0 where it was not, or is not known."""
        return float(self._record().get("identification_seconds", 0.0))

    def options(self) -> dict[str, Any]:
        """What the training was asked.

        Raises:
            InputError: there is no training, or its record is damaged.
        """
        if not self.config.is_file():
            raise InputError(f"There is no training in {self.path} to resume.")
        return self._record()["options"]

    def _record(self):
        record = read_record(self.config, _Record)
        if "data" not in record["options"]:
            read_record(self.config, _RecordOfExperiment)
        return record

    def history(self) -> list[dict[str, Any]]:
        """The lines of the log, one an epoch.

        Raises:
            InputError: one of them is damaged.
        """
        if not self.log.is_file():
            return []
        rows: list[dict[str, str]] = []
        try:
            with self.log.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    int(row["epoch"]), float(row["elapsed"]), float(row["loss"])
                    rows.append(row)
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise InputError(
                f"Line {len(rows) + 2} of {self.log} is damaged ({type(error).__name__}: {error}); "
                "expected epoch, elapsed, loss and others as in the first. Mend it: without it a "
                "time budget begins anew."
            ) from error
        return rows

    def keep(self, epochs: int) -> list[dict[str, Any]]:
        """Cut the log back to the first `epochs` lines, which are returned.

        After a sudden end it may be a line ahead of the model.

        Args:
            epochs: number of finished epochs.
        """
        rows = [row for row in self.history() if int(row["epoch"]) < epochs]
        self.write_log(rows)
        return rows

    def write_log(self, rows: list[dict[str, Any]]) -> None:
        """Write the log anew.

        Args:
            rows: one an epoch.
        """
        columns = dict.fromkeys(name for row in rows for name in row)
        with self.replacing(self.log) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows(rows)


class Log(keras.callbacks.Callback):
    """Adds a line to the log at the end of every epoch; the log is whole at any moment."""

    def __init__(self, run: RunDirectory):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        """Write the lines there are and this one."""
        self.run.write_log([*self.run.history(), {"epoch": epoch, **dict(sorted(logs.items()))}])


class Checkpoint(keras.callbacks.Callback):
    """Saves the model at the end of every epoch, whole or not at all."""

    def __init__(self, run: RunDirectory):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        """Save under another name, then take the old one's place."""
        with self.run.replacing(self.run.model) as temporary:
            self.model.save(temporary)
