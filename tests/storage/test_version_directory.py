import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tf4dvar.errors import InputError
from tf4dvar.storage.version_directory import VersionDirectory, check_digests

CARD = {"format": "test"}


def write(directory, content="x"):
    with VersionDirectory(directory).new_version(CARD) as (temporary, final):
        (temporary / "file").write_text(content)
    return final


def names(directory):
    return sorted(child.name for child in directory.iterdir())


def test_versions_count_up_and_the_card_describes_the_newest(tmp_path):
    assert write(tmp_path / "new" / "served") == tmp_path / "new" / "served" / "1"
    directory = tmp_path / "new" / "served"
    assert write(directory).name == "2"
    (directory / "2").rename(directory / "9")
    assert write(directory).name == "10"
    assert names(directory) == ["1", "10", "9", "card.json"]
    card = json.loads((directory / "card.json").read_text())
    digest = hashlib.sha256(b"x").hexdigest()
    assert card == {"format": "test", "version": 10, "sha256": {"file": digest}}
    assert json.loads((directory / "10" / "assets.extra" / "card.json").read_text()) == card
    assert json.loads((directory / "1" / "assets.extra" / "card.json").read_text())["version"] == 1


def test_files_that_are_not_those_exported_are_noticed(tmp_path):
    version = write(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    check_digests(version, card)
    (version / "inside").mkdir()
    (version / "inside" / "added by a user").write_text("y")
    with pytest.raises(InputError, match="inside/added by a user, which was not exported"):
        check_digests(version, card)
    check_digests(version, CARD)  # of a release that wrote no digests
    (version / "inside" / "added by a user").unlink()
    for damage in (lambda: (version / "file").write_text("y"), (version / "file").unlink):
        damage()
        with pytest.raises(InputError, match="file is not the file that was exported"):
            check_digests(version, card)


def bound_socket(path):
    # Its address may have a hundred bytes.
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(path.parent):
        one.bind(path.name)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        bound_socket,
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to("/etc/hostname"),
        lambda path: path.symlink_to("/etc"),
        lambda path: path.symlink_to("/dev/zero"),
    ],
    ids=["pipe", "socket", "loop", "broken link", "link", "link to a directory", "device"],
)
def test_what_is_neither_a_file_nor_a_directory_is_refused_by_name(make, tmp_path):
    version = write(tmp_path)
    make(version / "odd")
    for card in (CARD, json.loads((tmp_path / "card.json").read_text())):
        with pytest.raises(InputError, match="has odd, which is neither a file nor a directory"):
            check_digests(version, card)


def test_what_does_not_fit_into_the_memory_is_not_read(tmp_path):
    version = write(tmp_path)
    os.truncate(version / "file", 2**42)
    with pytest.raises(InputError, match=r"bytes: some .* GB are needed"):
        check_digests(version, json.loads((tmp_path / "card.json").read_text()))


def test_only_numbers_as_they_are_written_are_versions(tmp_path):
    for name in ("0", "7", "9" * 19):
        (tmp_path / name).mkdir()
    for name in ("01", "-1", "+1", "1.0", "1_0", "\u0663", "\u00b2", "9" * 200, "1 ", "x"):
        (tmp_path / name).mkdir()
    (tmp_path / "8").write_text("a file")
    (tmp_path / "9").symlink_to(tmp_path / "9")
    assert VersionDirectory(tmp_path).versions() == [0, 7, int("9" * 19)]


def test_a_failure_leaves_nothing(tmp_path):
    write(tmp_path)
    with pytest.raises(TypeError, match="must be str"):
        write(tmp_path, content=None)
    assert names(tmp_path) == ["1", "card.json"]
    assert json.loads((tmp_path / "card.json").read_text())["version"] == 1


@pytest.mark.parametrize("moment", ["rename", "fsync"])
def test_a_killed_process_leaves_no_version_and_the_next_cleans_up(moment, tmp_path):
    code = f"""
import os, signal, sys
from tf4dvar.storage.version_directory import VersionDirectory

def stop(*_):
    print("here", flush=True)
    signal.pause()

os.{moment} = stop
with VersionDirectory(sys.argv[1]).new_version({CARD!r}) as (temporary, _):
    (temporary / "file").write_text("half")
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "here\n"
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert names(tmp_path) == [".unfinished"]
    assert (tmp_path / ".unfinished" / "file").exists()
    assert write(tmp_path, "whole").name == "1"
    assert names(tmp_path) == ["1", "card.json"]
    assert (tmp_path / "1" / "file").read_text() == "whole"


def test_exports_at_once_get_different_numbers(tmp_path):
    both = threading.Barrier(8)

    def export(content):
        both.wait()
        write(tmp_path, content)

    threads = [threading.Thread(target=export, args=(str(k),)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert VersionDirectory(tmp_path).versions() == list(range(1, 9))
    assert {(tmp_path / str(n) / "file").read_text() for n in range(1, 9)} == set("01234567")
    assert json.loads((tmp_path / "card.json").read_text())["version"] == 8


def test_what_is_no_directory_of_this_format_is_refused_and_kept(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        write(tmp_path / "file")
    for content in ('{"format": "onnx"}', "[]", "not json", "[" * 100_000):
        (tmp_path / "card.json").write_text(content)
        with pytest.raises(InputError, match="another directory"):
            write(tmp_path)
        assert names(tmp_path) == ["card.json", "file"]
        assert (tmp_path / "card.json").read_text() == content


@pytest.mark.parametrize("card", [None, '{"format": "onnx"}', "[]", "not json"])
@pytest.mark.parametrize("outside", [True, False])
def test_versions_that_were_not_exported_so_are_refused_and_kept(card, outside, tmp_path):
    write(tmp_path)
    if not outside:
        (tmp_path / "card.json").unlink()
    inside = tmp_path / "2" / "assets.extra" / "card.json"
    inside.parent.mkdir(parents=True)
    if card is not None:
        inside.write_text(card)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"2/assets\.extra/card\.json .*another directory"):
        write(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", [1, 2])
def test_the_card_beside_is_made_up_for_after_a_kill_before_it(number, tmp_path, monkeypatch):
    for _ in range(1, number):
        write(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tf4dvar.storage.version_directory.write_record", killed)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path)
    assert VersionDirectory(tmp_path).versions()[-1] == number
    assert write(tmp_path).name == str(number + 1)
    assert json.loads((tmp_path / "card.json").read_text())["version"] == number + 1
