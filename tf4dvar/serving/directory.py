"""The directory that is served, looked at without TensorFlow."""

from pathlib import Path
from typing import Any

import msgspec

from tf4dvar.errors import InputError, first_line
from tf4dvar.storage.records import read_record
from tf4dvar.storage.version_directory import CARD_INSIDE, VersionDirectory, files_of


class _Packages(msgspec.Struct):
    tf4dvar: str


class _Card(msgspec.Struct):
    format: str
    packages: _Packages
    iterations: int
    unrolled: bool


def version_numbers(directory: Path) -> set[int]:
    """The numbers of the versions in a directory, none where it does not exist."""
    return set(VersionDirectory(directory).versions()) if directory.is_dir() else set()


def version_card(version: Path, force: bool) -> dict[str, Any]:
    """What `tf4dvar export` wrote about a version; nothing of a stranger, if forced.

    A SavedModel is a program: one of unknown origin can read and write files.

    Raises:
        InputError: it is not an export of this package, and not forced; or something in it is
            no file.
        OSError: it cannot be looked at.
    """
    files_of(version)  # no link leads the reader elsewhere
    try:
        card = read_record(version / CARD_INSIDE, _Card)
        if card["format"] == "savedmodel" and isinstance(card.get("sha256", {}), dict):
            return card
        problem = "it describes something else"
    except (OSError, InputError) as error:
        problem = first_line(error)
    if force:
        return {}
    raise InputError(
        f"{version} is not a SavedModel that tf4dvar export wrote: it has no {CARD_INSIDE} that "
        "says so. A SavedModel is a program that can read and write files; if you trust this "
        f"one, serve it with force=True. ({problem})"
    )


def check_directory(directory: Path, force: bool) -> None:
    """Refuse a directory without versions, or none of which is an export of this package.

    Raises:
        InputError, OSError: so it is; what is said of the newest version, if there are some.
    """
    newest_first = sorted(version_numbers(directory), reverse=True)
    error: Exception = InputError(
        f"There is no version in {directory}; expected {directory}/1 and so on, as tf4dvar "
        "export writes them."
    )
    for number in newest_first:
        try:
            version_card(directory / str(number), force)
        except (InputError, OSError) as problem:
            if number == newest_first[0]:
                error = problem
        else:
            return
    raise error
