import json
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import xarray as xr

from tests.scale.conftest import SIZES, first_guesses, write
from tf4dvar.data import read_windows, states_dataset, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.models import load_model
from tf4dvar.scale.archive import _find, reconstruct_archive, with_model


@pytest.fixture(scope="module")
def model(model_file):
    return load_model(model_file)


@pytest.fixture
def run(archive, model_file, tmp_path):
    """Reconstruct the archive into `states`, quickly unless told how."""

    def call(reconstructor=first_guesses, pattern="*.nc", **settings):
        return reconstruct_archive(
            str(archive / pattern), tmp_path / "states", model_file, reconstructor, **settings
        )

    return call


class Counting:
    """First guesses that note what they are of; from the call `stop` on, the user stops them."""

    def __init__(self, stop=None):
        self.seen = []
        self.stop = stop

    def __call__(self, chunks):
        for chunk in chunks:
            if len(self.seen) == self.stop:
                raise KeyboardInterrupt
            self.seen += [(chunk.file.name, chunk.windows.start)]
            yield from first_guesses([chunk])


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def states(folder):
    return {name: read_windows(folder / name, "state") for name in names(folder) if ".nc" in name}


def check_first_guesses(archive, folder):
    for name, found in states(folder).items():
        observations = read_windows(archive / name)["observations"].values
        np.testing.assert_array_equal(found["state"], np.nan_to_num(observations).astype("f4"))
    assert names(folder) == [*SIZES, "manifest.jsonl"]


ALL = [("a.nc", 0), ("a.nc", 32), ("b.nc", 0), ("b.nc", 32), ("b.nc", 64), ("c.nc", 0)]


@pytest.mark.long
def test_states_are_those_of_every_file_by_itself(run, archive, model, model_file, tmp_path):
    summary = run(with_model(model))
    assert summary == (3, 0, sum(SIZES.values()), summary.suspect, {})
    suspect = 0
    for name, found in states(tmp_path / "states").items():
        source = read_windows(archive / name)
        expected = reconstruct(model, source["observations"].values).written
        write_dataset(states_dataset(source, **expected, method=str(model_file)), tmp_path / name)
        xr.testing.assert_identical(found, read_windows(tmp_path / name, "state"))
        assert (found["state_std"] > 0).all()
        suspect += int(found["suspect"].sum())
    assert summary.suspect == suspect > 0
    assert names(tmp_path / "states") == [*SIZES, "manifest.jsonl"]


@pytest.mark.long
@pytest.mark.parametrize("stop", [0, 1, 3, 5])
def test_a_stopped_run_goes_on_and_does_no_window_twice(run, archive, tmp_path, stop):
    before, after = Counting(stop), Counting()
    with pytest.raises(KeyboardInterrupt):
        run(before)
    summary = run(after)
    assert before.seen + after.seen == ALL
    assert summary.files == 3
    assert summary.windows == sum(SIZES.values()) - 32 * min(stop, 4) - (stop > 4) * 6
    check_first_guesses(archive, tmp_path / "states")


def test_nothing_is_left_to_do_the_second_time(run):
    run()
    again = Counting()
    assert run(again) == (3, 3, 0, 0, {})
    assert again.seen == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "call"), [("os.replace", 5), ("np.savez", 5), ("shutil.rmtree", 2), ("os.fsync", 5)]
)
def test_a_killed_run_goes_on(run, archive, model_file, tmp_path, moment, call):
    """Killed at some call of a function that writes or removes."""
    function = moment.replace(".", "_")
    code = f"""
import os, shutil, signal, sys
import numpy as np
from tests.scale.conftest import first_guesses
from tf4dvar.scale import archive
archive.CHUNK_ENTRIES = 1
{function}, calls = {moment}, []
def killing(*args, **settings):
    calls.append(args)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return {function}(*args, **settings)
{moment} = killing
archive.reconstruct_archive(*sys.argv[1:3], archive.Path(sys.argv[3]), first_guesses)
"""
    arguments = (archive / "*.nc", tmp_path / "states", model_file)
    killed = subprocess.run([sys.executable, "-c", code, *map(str, arguments)])
    assert killed.returncode == -signal.SIGKILL
    counting = Counting()
    summary = run(counting)
    assert summary.files == 3
    assert len(counting.seen) < len(ALL)
    check_first_guesses(archive, tmp_path / "states")


def test_bad_files_are_left_out_and_tried_again(run, archive, model, tmp_path, caplog):
    good = (archive / "b.nc").read_bytes()
    (archive / "b.nc").write_bytes(good[: len(good) // 2])
    infinite = read_windows(archive / "c.nc")
    infinite["observations"][2, 3, 0] = np.inf
    write_dataset(infinite, archive / "c.nc", force=True)
    write_dataset(xr.Dataset({"temperature": 3.0}), archive / "d.nc")
    write_dataset(infinite.isel(window=[]), archive / "e.nc")
    summary = run(with_model(model))
    assert (summary.files, summary.windows) == (1, SIZES["a.nc"])
    assert "truncated" in summary.errors["b.nc"]
    assert "infinite" in summary.errors["c.nc"]
    assert "'temperature'" in summary.errors["d.nc"]
    assert "nothing to reconstruct" in summary.errors["e.nc"]
    assert [each.levelname for each in caplog.records].count("ERROR") == 4
    lines = (tmp_path / "states" / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line).get("error") for line in lines[2:]] == [*summary.errors.values()]
    assert names(tmp_path / "states") == ["a.nc", "manifest.jsonl"]

    (archive / "b.nc").write_bytes(good)
    write(archive / "c.nc", SIZES["c.nc"])
    again = Counting()
    assert list(run(again).errors) == ["d.nc", "e.nc"]
    assert again.seen == ALL[2:]


def test_states_that_are_not_finite_name_their_windows(run, model):
    def diverging(chunks):
        for chunk, states in with_model(model)(chunks):
            last = chunk.windows.start == 32
            yield chunk, InputError("diverged") if last else states

    assert run(diverging).errors == {
        "a.nc": "Windows 32 to 63: diverged",
        "b.nc": "Windows 32 to 63: diverged",
    }


def test_what_changed_or_is_gone_is_done_anew(run, archive, tmp_path):
    run()
    write(archive / "a.nc", 7, seed=9)
    (tmp_path / "states" / "c.nc").unlink()
    again = Counting()
    assert run(again) == (3, 1, 12, 0, {})
    assert again.seen == [("a.nc", 0), ("c.nc", 0)]
    assert states(tmp_path / "states")["a.nc"].sizes["window"] == 7


def test_parts_of_a_file_that_changed_are_not_used(run, archive, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Counting(stop=1))
    write(archive / "a.nc", 64, seed=9)
    again = Counting()
    run(again)
    assert again.seen == ALL


def test_what_is_not_ours_is_kept(run, archive, model_file, tmp_path):
    folder = tmp_path / "states"
    folder.mkdir()
    (folder / "b.nc").write_text("precious")
    assert "force=True" in run().errors["b.nc"]
    assert (folder / "b.nc").read_text() == "precious"
    assert run(force=True).errors == {}
    pattern = str(archive / "*.nc")
    with pytest.raises(InputError, match="overwrite"):
        reconstruct_archive(pattern, archive, model_file, first_guesses, force=True)
    other = tmp_path / "other.keras"
    other.write_bytes(b"another model")
    with pytest.raises(InputError, match="another model"):
        reconstruct_archive(pattern, folder, other, first_guesses)
    with pytest.raises(InputError, match="is a file"):
        reconstruct_archive(pattern, other, other, first_guesses)
    with pytest.raises(InputError, match="No file"):
        run(pattern="*.grib")


def test_two_runs_at_once_are_refused(run):
    def second(chunks):
        with pytest.raises(InputError, match="Another process"):
            run()
        yield from first_guesses(chunks)

    assert run(second).files == 3


def test_folders_of_the_archive_are_folders_of_the_states(run, archive, tmp_path):
    for year in ("2001", "2002"):
        (archive / year).mkdir()
        write(archive / year / "a.nc", 3)
    assert run(pattern="**/*.nc").files == 5
    assert {"2001/a.nc", "2002/a.nc", "a.nc"} < set(names(tmp_path / "states"))


def test_a_line_of_the_manifest_that_was_cut_off_is_forgotten(run, tmp_path):
    run()
    manifest = tmp_path / "states" / "manifest.jsonl"
    manifest.write_text(manifest.read_text()[:-9])
    (tmp_path / "states" / "c.nc").unlink()
    again = Counting()
    run(again)
    assert again.seen == ALL[-1:]
    manifest.write_text("[]\n")
    with pytest.raises(InputError, match="damaged"):
        run()


def test_progress_ends_at_all(run, archive):
    (archive / "b.nc").write_text("no NetCDF")
    calls = []
    run(progress=lambda *call: calls.append(call))
    assert calls == sorted(calls)
    np.testing.assert_allclose(calls[-1], (1.0, 69))


@pytest.mark.long
def test_memory_does_not_grow_with_the_archive(archive, model_file, tmp_path, monkeypatch):
    """Nor with a file: it holds chunks, and coordinates where windows have any."""
    monkeypatch.setattr("tf4dvar.scale.archive.CHUNK_ENTRIES", 1024 * 24 * 3)

    def peak(windows, files):
        folder = tmp_path / f"{windows}-{files}"
        folder.mkdir(exist_ok=True)
        for number in range(files):
            write(folder / f"{number}.nc", windows, window_numbers=False)
        tracemalloc.start()
        reconstruct_archive(
            str(folder / "*.nc"), folder / "states", model_file, first_guesses, force=True
        )
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(4096, 1)  # what is imported and cached once
    few = peak(4096, 1)
    assert few > 1024 * 24 * 3 * 8
    assert peak(40960, 1) < 1.1 * few
    assert peak(4096, 10) < 1.1 * few


def test_a_name_that_exists_is_no_pattern(tmp_path, monkeypatch):
    folder = tmp_path / "a[b]"
    folder.mkdir()
    for name in ("g[1].nc", "g1.nc", "line\nbreak.nc"):
        (folder / name).touch()
    (tmp_path / "ab").mkdir()

    def names(pattern):
        return [name for _, name in _find(str(pattern))]

    assert names(folder / "g[1].nc") == ["g[1].nc"]
    assert names(folder / "g?.nc") == ["g1.nc"]
    assert names(folder / "*.nc") == ["g1.nc", "g[1].nc", "line\nbreak.nc"]
    assert names(tmp_path / "**" / "g1.nc") == ["a[b]/g1.nc"]
    monkeypatch.chdir(folder)
    assert names("g[1].nc") == ["g[1].nc"]
    for nothing in ("g[2].nc", "none/*.nc", folder):
        with pytest.raises(InputError, match="No file matches"):
            names(nothing)
