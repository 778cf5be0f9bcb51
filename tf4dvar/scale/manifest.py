"""The record of an archive's reconstruction."""

import json
import os
from pathlib import Path
from typing import Any

from tf4dvar.errors import InputError
from tf4dvar.storage import atomic_path


class Manifest:
    """A file of JSON lines: the model on the first, then one for every file that came to an end.

    Of several lines on a file the last counts: `{"file", "version", "windows"}` where it was
    reconstructed, `{"file", "error"}` where not.

    Args:
        path: the file; made where it does not exist.
        model: what tells the model from others, its digest.
        anew: forget what is recorded.

    Raises:
        InputError: the record is of another model, or damaged.
    """

    def __init__(self, path: Path, model: str, anew: bool = False):
        self.path = path
        self._records: dict[str, dict[str, Any]] = {}
        if path.exists() and not anew:
            self._read(model)
        with atomic_path(path) as temporary:
            lines = map(json.dumps, [{"model": model}, *self._records.values()])
            temporary.write_text("".join(f"{line}\n" for line in lines))

    def _read(self, model: str) -> None:
        # What comes after the last end of a line was cut off by a sudden end.
        lines = self.path.read_text().split("\n")[:-1]
        try:
            header, *records = map(json.loads, lines)
            self._records = {record["file"]: record for record in records}
            same = header["model"] == model
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path} is damaged ({error!r}); choose another folder, or force=True to "
                "reconstruct all files anew."
            ) from error
        if not same:
            raise InputError(
                f"{self.path.parent} holds the states of another model; choose another folder, "
                "or force=True to reconstruct all files anew."
            )

    def add(self, file: str, **record: Any) -> None:
        """Record how a file came to its end.

        Args:
            file: its name.
            **record: what there is to say.
        """
        self._records[file] = {"file": file, **record}
        with self.path.open("a") as lines:
            lines.write(json.dumps(self._records[file]) + "\n")
            lines.flush()
            os.fsync(lines.fileno())

    def version(self, file: str) -> str | None:
        """The version of a file whose states are there; None where they are not.

        Args:
            file: its name.
        """
        return self._records.get(file, {}).get("version")
