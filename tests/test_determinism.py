"""The same seed gives the same numbers, bit for bit, in another process."""

import json
import subprocess
import sys
import zipfile

import pytest
import xarray as xr

pytestmark = pytest.mark.long

COMMANDS = """
import sys
from tf4dvar.cli.app import app

for arguments in (
    ["simulate", "l63", "--windows", "6", "--seed", "4", "--out", "windows.nc"],
    ["train", "l63-sup-genn-conv", "--windows", "16", "--epochs", "2", "--iterations", "2",
     "--seed", "4", "--out", "run", "--json"],
    ["reconstruct", "run", "--data", "windows.nc", "--out", "states.nc", "--json"],
    ["evaluate", "run", "--data", "windows.nc", "--json"],
):
    app(arguments, standalone_mode=False)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders, each written by a process of its own."""
    paths = [tmp_path_factory.mktemp("run") for _ in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", COMMANDS],
            cwd=path,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for path in paths
    ]
    for path, process in zip(paths, processes, strict=True):
        (path / "output.txt").write_text(process.communicate()[0])
        assert process.returncode == 0
    return paths


def alike(folders, read):
    ours, theirs = map(read, folders)
    assert ours == theirs
    return ours


@pytest.mark.parametrize("name", ["windows.nc", "states.nc"])
def test_simulations_and_reconstructions(name, folders):
    def contents(folder):
        # Not the file's own bytes: HDF5 writes the time of the day into them.
        dataset = xr.load_dataset(folder / name, engine="h5netcdf")
        values = {key: values.to_numpy().tobytes() for key, values in dataset.variables.items()}
        return values, dataset.attrs

    alike(folders, contents)


def test_weights_and_optimiser(folders):
    def weights(folder):
        with zipfile.ZipFile(folder / "run" / "model.keras") as archive:
            return archive.read("model.weights.h5")

    alike(folders, weights)


def test_scores(folders):
    def scores(folder):
        found = json.loads((folder / "output.txt").read_text().splitlines()[-1])
        return {name: value for name, value in found.items() if name != "seconds_per_window"}

    assert alike(folders, scores)["windows"] == 6
