import errno
import os
import shutil
import subprocess
import sys

import pytest

from tf4dvar.errors import InputError
from tf4dvar.storage import atomic_path, locked, open_regular


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture(scope="module")
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def write(path, content, failure=None):
    before = path.read_text()
    with atomic_path(path) as temporary:
        assert temporary.suffix == path.suffix
        temporary.write_text(content)
        assert path.read_text() == before
        if failure:
            raise failure


def test_a_file_is_the_old_or_the_new_one(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(OSError, match=r"No space left on device: .*file\.txt"):
        write(path, "ne", OSError(errno.ENOSPC, "No space left on device"))
    assert path.read_text() == "old"
    write(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file.txt"]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path, dead):
    left = tmp_path / f".file.{dead}.txt"
    others = [
        f".file.{os.getppid()}.txt",
        f".file.{dead}.csv",
        f".file.{dead}",
        f".other.{dead}.txt",
        ".file.old.txt",
        f"file.{dead}.txt",
        f".file.{dead}{'0' * 20}.txt",
    ]
    for name in (left.name, *others):
        (tmp_path / name).write_text("half")
    with atomic_path(tmp_path / "file.txt") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == sorted([*others, "file.txt"])


def test_a_name_without_suffix_has_its_own_temporaries(tmp_path, dead):
    for name in (f".file.{dead}", f".file.{dead}.txt"):
        (tmp_path / name).write_text("half")
    with atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == [f".file.{dead}.txt", "file"]


@pytest.fixture(params=["", ".lock"], ids=["the directory", "a file in it"])
def what(request, monkeypatch):
    """What is locked of a directory: itself, or as on Windows."""
    monkeypatch.setattr("tf4dvar.storage.files.LOCKED", request.param)
    return request.param


def test_a_lock_ends_with_its_process(tmp_path, what):
    code = (
        "import pathlib, sys, signal; from tf4dvar.storage import files\n"
        "files.LOCKED = sys.argv[2]\n"
        "with files.locked(pathlib.Path(sys.argv[1])):\n    print(1, flush=True); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), what], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        with (
            pytest.raises(InputError, match="Another process is at work"),
            locked(tmp_path, wait=False),
        ):
            pass
        process.kill()
        process.wait()
        with locked(tmp_path, wait=False):
            pass
    assert names(tmp_path) == [what] * bool(what)


def test_a_claim_is_of_one_directory_wherever_it_goes(tmp_path, what):
    path, moved = tmp_path / "claimed", tmp_path / "moved"
    path.mkdir()
    with locked(path, wait=False) as claim:
        claim.check()
        path.rename(moved)
        with pytest.raises(InputError, match="Another process"), locked(moved, wait=False):
            pass
        for replace in (lambda: None, path.mkdir, path.rmdir, path.touch):
            replace()
            with pytest.raises(InputError, match="claimed is no longer the directory"):
                claim.check()
        path.unlink()
        moved.rename(path)
        claim.check()
        shutil.rmtree(path)
        path.mkdir()
        # Another may have the new one.
        with locked(path, wait=False) as other:
            other.check()
            with pytest.raises(InputError, match="claimed is no longer the directory"):
                claim.check()


def test_a_read_only_directory_is_locked_as_any_other(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with locked(tmp_path, wait=False) as claim:
            claim.check()
    finally:
        tmp_path.chmod(0o755)
    # Whom rights do not keep from it writes nothing there either.
    assert names(tmp_path) == []


def test_only_a_regular_file_is_opened_and_nothing_is_waited_for(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"content"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(InputError, match=f"{path} is no regular file"):
            open_regular(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        open_regular(tmp_path / "missing")
