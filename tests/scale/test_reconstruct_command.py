import json

import pytest

from tests.cli.test_app import fail, invoke, succeed
from tests.scale.conftest import SIZES
from tf4dvar.data import read_windows


@pytest.mark.long
def test_an_archive_is_reconstructed_file_by_file(archive, model_file, tmp_path):
    command = ("reconstruct", model_file, "--data", archive / "*.nc", "--out")
    report = json.loads(succeed(*command, tmp_path / "states", "--json"))
    assert (report["files"], report["windows"], report["errors"]) == (3, sum(SIZES.values()), {})
    report = json.loads(succeed(*command, tmp_path / "states", "--json"))
    assert (report["already_there"], report["windows"]) == (3, 0)
    one_file = ("reconstruct", model_file, "--data", archive / "b.nc", "--out", tmp_path / "b.nc")
    succeed(*one_file)
    states = read_windows(tmp_path / "b.nc", "state")
    assert read_windows(tmp_path / "states" / "b.nc", "state").equals(states)


def test_the_exit_code_tells_of_files_that_were_left_out(archive, model_file, tmp_path):
    (archive / "b.nc").write_text("no NetCDF")
    out = tmp_path / "states"
    result = invoke("reconstruct", model_file, "--data", archive / "*.nc", "--out", out)
    assert result.exit_code == 1
    last_line = result.stderr.splitlines()[-1]
    assert last_line == f"Error: 1 of 3 files have no states; {out / 'manifest.jsonl'} says why."
    assert read_windows(out / "a.nc", "state").sizes["window"] == SIZES["a.nc"]


def test_mistakes_are_one_line(archive, model_file, tmp_path):
    out = ("--out", tmp_path / "states")
    assert "No file" in fail("reconstruct", model_file, "--data", archive / "*.grib", *out)
    assert "no model" in fail("reconstruct", tmp_path, "--data", archive / "*.nc", *out)
    assert not (tmp_path / "states").exists()


def test_workers_write_into_a_folder_and_a_cluster_has_workers(archive, model_file, tmp_path):
    command = ("reconstruct", model_file, "--data", archive / "a.nc")
    assert "into a folder" in fail(*command, "--out", tmp_path / "a.nc", "--workers", 2)
    cluster = ("--address", "ray://head:10001")
    assert "without --workers" in fail(*command, "--out", tmp_path / "states", *cluster)
    assert "without --workers" in fail("simulate", "l63", "--out", tmp_path / "a.nc", *cluster)
