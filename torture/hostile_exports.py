"""What may stand in the place of a version's files, or among them."""

import os
import shutil
import socket
import stat
from pathlib import Path

GRAPH, CARD = "saved_model.pb", "assets.extra/card.json"


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        # Its address may have a hundred bytes.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            one.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


def _device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:  # it is for the superuser
        path.symlink_to("/dev/zero")


def _unreadable(path: Path) -> None:
    path.touch()
    path.chmod(0)


def _endless(path: Path) -> None:
    with path.open("wb") as sparse:
        sparse.truncate(2**40)


OBJECTS = {
    "a pipe": _pipe,
    "a socket": _socket,
    "a device": _device,
    "a directory": Path.mkdir,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a link out": lambda path: path.symlink_to("/proc/self/exe"),
    "a link to a directory": lambda path: path.symlink_to("/etc"),
    "an empty file": Path.touch,
    "an unreadable file": _unreadable,
    "a file of 2^40 bytes": _endless,
}
"""Each makes something at a path."""


def spoilt(version: Path, place: str, name: str) -> None:
    """Put an object in the place of a file of a version, or beside them.

    Args:
        version: the directory.
        place: name of a file in it; there may be none.
        name: one of `OBJECTS`.
    """
    path = version / place
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    OBJECTS[name](path)
