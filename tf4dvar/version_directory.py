"""Numbered version directories, TensorFlow Serving's and Triton's layout: whole or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tf4dvar.data import atomic_path, locked, to_disk
from tf4dvar.errors import InputError
from tf4dvar.records import read_record

# No number: servers take it for no version.
UNFINISHED = ".unfinished"
# `assets.extra` is a SavedModel's place for files that its users add.
CARD_INSIDE = Path("assets.extra", "card.json")


class VersionDirectory:
    """A directory of exports: `1/`, `2/`, ... and `card.json`, which describes the newest.

    Args:
        path: the directory; made where it does not exist.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @property
    def card(self) -> Path:
        """Description of the newest version."""
        return self.path / "card.json"

    def versions(self) -> list[int]:
        """The numbers there are, in rising order."""
        return sorted(
            int(child.name)
            for child in self.path.iterdir()
            if child.is_dir() and child.name.isdecimal()
        )

    @contextmanager
    def new_version(self, card: dict[str, Any]) -> Iterator[tuple[Path, Path]]:
        """Fill a new version, which appears only when all went well, and its card after it.

        An export that was killed leaves an unfinished directory, which the next one removes. Two
        at once wait for each other.

        Args:
            card: the description with its `format`; it gets the version's number, and the
                SHA-256 of every file. The version has a copy of it inside.

        Yields:
            The directory to fill, and the one that it becomes.

        Raises:
            InputError: the path is a file, or holds versions of something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; expected a directory to export into.")
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path):
            self._check_format(card["format"])
            temporary = self.path / UNFINISHED
            # Whoever began it is dead: the lock was free.
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            try:
                number = max(self.versions(), default=0) + 1
                final = self.path / str(number)
                yield temporary, final
                card = {**card, "version": number, "sha256": _digests(temporary)}
                inside = temporary / CARD_INSIDE
                inside.parent.mkdir(exist_ok=True)
                inside.write_text(json.dumps(card, indent=2) + "\n")
                for file in (temporary, *temporary.rglob("*")):
                    to_disk(file)
                os.rename(temporary, final)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            with atomic_path(self.card) as new_card:
                new_card.write_text(json.dumps(card, indent=2) + "\n")
            to_disk(self.path)

    def _check_format(self, expected: str) -> None:
        cards = [self.card] if self.card.exists() else []
        # Every export has one inside, from before it gets its number.
        cards += [self.path / str(number) / CARD_INSIDE for number in self.versions()[-1:]]
        for card in cards:
            try:
                found = f"says {read_record(card, {'format': str})['format']!r}"
            except FileNotFoundError:
                found = "is missing"
            except (OSError, InputError):
                found = "does not say"
            if found != f"says {expected!r}":
                raise InputError(
                    f"{self.path} holds something else than exports of the format {expected!r}: "
                    f"its {card.relative_to(self.path)} {found}. Choose another directory."
                )


def check_digests(version: Path, card: dict[str, Any]) -> None:
    """Refuse a version whose files are not those that were exported.

    Args:
        version: its directory.
        card: the one inside; that of an earlier release of this package has no digests.

    Raises:
        InputError: a file is another or is missing.
    """
    if "sha256" not in card:
        return
    found = _digests(version)
    for name, digest in card["sha256"].items():
        if found.get(name) != digest:
            raise InputError(
                f"{version} is damaged, or its copy is not finished: {name} is not the file that "
                "was exported. Export or copy it again."
            )


def _digests(directory: Path) -> dict[str, str]:
    """SHA-256 of the files in a version, by their names, but for its card."""
    digests = {}
    for file in sorted(directory.rglob("*")):
        name = file.relative_to(directory)
        if file.is_file() and name != CARD_INSIDE:
            digests[name.as_posix()] = hashlib.sha256(file.read_bytes()).hexdigest()
    return digests
