"""The folder of a training: what it was asked, how it went, what it reached."""

import csv
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from tf4dvar.data import atomic_path
from tf4dvar.errors import InputError
from tf4dvar.records import read_record

PACKAGES = ("tf4dvar", "tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class RunDirectory:
    """The files of one training.

    `config.json` (experiment, options, versions), `model.keras` (weights, optimiser and with
    them the number of finished epochs), `log.csv` (one line an epoch), `tensorboard/`.

    Attributes:
        path: the folder.
    """

    path: Path

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

    def start(self, options: dict[str, Any], resume: bool) -> None:
        """Claim the folder for a training with these options.

        Raises:
            InputError: there is a training already and `resume` is not set, or there is none to
                resume, or it was another one.
        """
        if resume:
            asked = self.options()
            if asked != options:
                raise InputError(
                    f"{self.path} was trained with {asked}; received {options}. "
                    "Resume with the same options, or choose another folder."
                )
            return
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(
                f"{self.path} exists and is left as it is; --resume continues its training, "
                "or choose another folder."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        record = {
            "options": options,
            "versions": {name: version(name) for name in PACKAGES},
            "python": platform.python_version(),
        }
        with atomic_path(self.config) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")

    def options(self) -> dict[str, Any]:
        """What the training was asked.

        Raises:
            InputError: there is no training, or its record is damaged.
        """
        if not self.config.is_file():
            raise InputError(f"There is no training in {self.path} to resume.")
        return read_record(self.config, {"options": {"experiment": str}})["options"]

    def elapsed(self, epochs: int) -> float:
        """Seconds that the first `epochs` epochs took; later lines of the log are dropped.

        The log may be a line ahead of the model after a sudden end.
        """
        rows = [row for row in self.history() if int(row["epoch"]) < epochs]
        if not rows:
            self.log.unlink(missing_ok=True)
            return 0.0
        with atomic_path(self.log) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return float(rows[-1]["elapsed"])

    def history(self) -> list[dict[str, str]]:
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
                    int(row["epoch"]), float(row["elapsed"])
                    rows.append(row)
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise InputError(
                f"Line {len(rows) + 2} of {self.log} is damaged ({type(error).__name__}: {error}); "
                "expected epoch, elapsed and others as in the first. Mend or delete it."
            ) from error
        return rows


class Checkpoint(keras.callbacks.Callback):
    """Saves the model at the end of every epoch, whole or not at all."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        """Save under another name, then take the old one's place."""
        with atomic_path(self.path) as temporary:
            self.model.save(temporary)
