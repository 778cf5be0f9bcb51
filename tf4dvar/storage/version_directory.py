"""Numbered version directories, TensorFlow Serving's and Triton's layout: whole or not at all."""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tf4dvar.errors import InputError
from tf4dvar.runtime import check_memory
from tf4dvar.storage import locked, open_regular, to_disk
from tf4dvar.storage.records import read_record, write_record

# No number: servers take it for no version.
UNFINISHED = ".unfinished"
# `assets.extra` is a SavedModel's place for files that its users add.
CARD_INSIDE = Path("assets.extra", "card.json")
# As servers write it: one name for a number, of at most 64 bits.
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class _Card(msgspec.Struct):
    format: str


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
        with os.scandir(self.path) as children:
            return sorted(
                int(child.name)
                for child in children
                if NUMBER.fullmatch(child.name) and os.path.isdir(child.path)
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
        with locked(self.path) as claim:
            self._check_format(card["format"])
            temporary = self.path / UNFINISHED
            # Whoever began it is dead: the lock was free.
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            try:
                number = max(self.versions(), default=0) + 1
                final = self.path / str(number)
                yield temporary, final
                digests = {name: _digest(temporary / name) for name in sorted(files_of(temporary))}
                card = {**card, "version": number, "sha256": digests}
                inside = temporary / CARD_INSIDE
                inside.parent.mkdir(exist_ok=True)
                inside.write_text(json.dumps(card, indent=2) + "\n")
                for file in (temporary, *temporary.rglob("*")):
                    to_disk(file)
                claim.check()
                os.rename(temporary, final)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            write_record(self.card, card)
            to_disk(self.path)

    def _check_format(self, expected: str) -> None:
        cards = [self.card] if self.card.exists() else []
        # Every export has one inside, from before it gets its number.
        cards += [self.path / str(number) / CARD_INSIDE for number in self.versions()[-1:]]
        for card in cards:
            try:
                found = f"says {read_record(card, _Card)['format']!r}"
            except FileNotFoundError:
                found = "is missing"
            except (OSError, InputError):
                found = "does not say"
            if found != f"says {expected!r}":
                raise InputError(
                    f"{self.path} holds something else than exports of the format {expected!r}: "
                    f"its {card.relative_to(self.path)} {found}. Choose another directory."
                )


class FileState(NamedTuple):
    """What tells a file from another in its place, even of the same size within the same second.

    Attributes:
        device, inode, size: as `os.stat` has them.
        modified, changed: nanoseconds.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def files_of(version: Path) -> dict[str, FileState]:
    """The files in a version by their names.

    Args:
        version: its directory.

    Raises:
        InputError: something in it is neither a file nor a directory, but for example a link.
        OSError: it cannot be looked at.
    """
    found = {}
    # Directories that are still to be looked at.
    folders = [version]
    while folders:
        for path in folders.pop().iterdir():
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
            elif stat.S_ISREG(status.st_mode):
                found[path.relative_to(version).as_posix()] = FileState(
                    *(status.st_dev, status.st_ino, status.st_size),
                    *(status.st_mtime_ns, status.st_ctime_ns),
                )
            else:
                raise InputError(
                    f"{version} has {path.relative_to(version)}, which is neither a file nor a "
                    "directory (a link, perhaps). Export or copy it again."
                )
    return found


def check_digests(version: Path, card: dict[str, Any]) -> None:
    """Refuse a version whose files are not those that were exported.

    Args:
        version: its directory.
        card: the one inside; that of an earlier release of this package has no digests.

    Raises:
        InputError: a file is another, is missing, was not exported, or is no file; or they do
            not fit into the memory.
        OSError: one cannot be read.
    """
    files = files_of(version)
    size = sum(file.size for file in files.values())
    check_memory(size, f"Received {version} of {size} bytes", "Take a larger machine.")
    if "sha256" not in card:
        return
    names = files.keys() - {CARD_INSIDE.as_posix()}
    listed = card["sha256"]
    for name in sorted(names - listed.keys()):
        raise InputError(f"{version} has the file {name}, which was not exported. Remove it.")
    for name, digest in listed.items():
        if name not in names or _digest(version / name) != digest:
            raise InputError(
                f"{version} is damaged, or its copy is not finished: {name} is not the file that "
                "was exported. Export or copy it again."
            )


def _digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
