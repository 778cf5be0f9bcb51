"""The directory that is served, looked at without TensorFlow."""

from pathlib import Path
from typing import Any

from tf4dvar.errors import InputError
from tf4dvar.records import read_record
from tf4dvar.version_directory import CARD_INSIDE, VersionDirectory

CARD = {"format": str, "packages": {"tf4dvar": str}, "iterations": int, "unrolled": bool}


def version_numbers(directory: Path) -> set[int]:
    """The numbers of the versions in a directory, none where it does not exist."""
    return set(VersionDirectory(directory).versions()) if directory.is_dir() else set()


def version_card(version: Path, force: bool) -> dict[str, Any]:
    """What `tf4dvar export` wrote about a version; nothing of a stranger, if forced.

    A SavedModel is a program: one of unknown origin can read and write files.

    Raises:
        InputError: it is not an export of this package, and not forced.
    """
    try:
        card = read_record(version / CARD_INSIDE, CARD)
        if card["format"] == "savedmodel" and isinstance(card.get("sha256", {}), dict):
            return card
    except (OSError, InputError):
        pass
    if force:
        return {}
    raise InputError(
        f"{version} is not a SavedModel that tf4dvar export wrote: it has no {CARD_INSIDE} that "
        "says so. A SavedModel is a program that can read and write files; if you trust this "
        "one, serve it with --force."
    )


def check_directory(directory: Path, force: bool) -> None:
    """Refuse a directory without versions, or whose newest is not an export of this package.

    Raises:
        InputError: so it is.
    """
    numbers = version_numbers(directory)
    if not numbers:
        raise InputError(
            f"There is no version in {directory}; expected {directory}/1 and so on, as tf4dvar "
            "export writes them."
        )
    version_card(directory / str(max(numbers)), force)
