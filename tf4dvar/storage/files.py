"""Files that are whole or not at all, or nothing to wait for; directories for one process."""

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from filelock import lock_descriptor

from tf4dvar.errors import InputError

# What is locked of a directory: itself; on Windows, which opens none, a hidden file in it.
LOCKED = ".lock" if os.name == "nt" else ""


def check_output(path: str | Path, force: bool = False) -> None:
    """Refuse an output that exists, unless forced, or whose folder does not exist.

    Args:
        path: the file to be.
        force: whether it may exist.
    """
    path = Path(path)
    if path.exists() and not force:
        raise InputError(f"{path} exists and is left as it is; force=True overwrites it.")
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent} to write {path.name} into.")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when all went well.

    It is on the disk before it takes the place. What a process left that was killed while it
    wrote this file is removed.

    Args:
        path: the file to be.
    """
    path = Path(path)
    _remove_abandoned(path)
    # The suffix stays last, since writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        # A full disk does not say by itself what found no room.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporaries for `path` whose processes are gone."""
    names = re.compile(rf"\.{re.escape(path.stem)}\.(\d{{1,9}}){re.escape(path.suffix)}")
    for file in path.parent.glob(".*"):
        match = names.fullmatch(file.name)
        if match and not psutil.pid_exists(int(match[1])):
            file.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Wait until a file or a directory is on the disk.

    Args:
        path: it.
    """
    # Windows asks this of no directory, and of a file only where it may be written.
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Claim(NamedTuple):
    """A directory that this process has to itself, under whatever name it goes.

    Attributes:
        path: where it was.
        inode: of what is locked of it; until the lock ends no other gets the number.
    """

    path: Path
    inode: int

    def check(self) -> None:
        """Refuse to write where the directory was, but another one is now, or none.

        Raises:
            InputError: so it is.
        """
        locked = self.path / LOCKED
        if not locked.exists() or locked.stat().st_ino != self.inode:
            raise InputError(
                f"{self.path} is no longer the directory in which this process is at work: it was "
                "moved or removed meanwhile. Nothing more is written; go on from where it is now."
            )


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a regular file to be read: a pipe in its place would be waited for, a device be endless.

    Args:
        path: it.

    Raises:
        InputError: it is something else.
        OSError: it cannot be opened.
    """
    return open(path, "rb", opener=_regular)


def _regular(path: str, flags: int) -> int:
    # Windows lacks the flag, and what is waited for.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path} is no regular file; expected one that can be read.")
    return descriptor


@contextmanager
def locked(directory: Path, wait: bool = True) -> Iterator[Claim]:
    """Alone in a directory; the system ends the lock with the process, however that ends.

    Args:
        directory: it exists.
        wait: until another process is done with it.

    Yields:
        What tells whether it is still there.

    Raises:
        InputError: another process has it, and `wait` is not set.
    """
    descriptor = os.open(directory / LOCKED, os.O_RDWR | os.O_CREAT if LOCKED else os.O_RDONLY)
    try:
        if not lock_descriptor(descriptor, blocking=wait):
            raise InputError(
                f"Another process is at work in {directory}; wait for its end, or choose another "
                "folder."
            )
        yield Claim(directory, os.fstat(descriptor).st_ino)
    finally:
        os.close(descriptor)
