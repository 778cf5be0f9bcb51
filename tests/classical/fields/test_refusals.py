"""What no method of maps may answer, by Python and by the command line: of methods to come too."""

import re

import numpy as np
import psutil
import pytest
import xarray as xr

from tests.cli.test_app import invoke
from tf4dvar.classical.fields import FIELD_METHODS, FieldProblem
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError

TIMES, SIDE, SPACING = 4, 8, 10.0
# Of a machine, bytes: more than the file of the maps that are too large, less than they need.
MEMORY, TOO_LARGE = 4e7, 1000


def maps(side=SIDE, times=TIMES):
    """In a box that repeats, as the most demanding of the methods asks."""
    observations = np.full((times, side, side), np.nan, "float32")
    observations[:, ::2, ::3] = 1.0
    points = SPACING * (np.arange(side) + 0.5)
    attributes = {"units": "km", "modulo": SPACING * side}
    axes = {name: (name, points, attributes) for name in ("y", "x")}
    days = np.datetime64("2000-01-01", "ns") + np.arange(times) * np.timedelta64(24, "h")
    sea = np.ones((side, side), "int8")
    return xr.Dataset(
        {"ssh": (("time", "y", "x"), observations), "sea": (("y", "x"), sea)},
        {"time": days, **axes},
    )


def with_a_gap_in(name):
    """The maps with a coordinate that is NaN, or no date."""
    given = maps()
    values = given[name].values.copy()
    values[1] = np.array("NaT", values.dtype) if name == "time" else np.nan
    return given.assign_coords({name: (name, values, given[name].attrs)})


CASES = {
    "no observation": (lambda: maps().assign(ssh=maps().ssh.where(False)), "no observation"),
    "land alone": (lambda: maps().assign(sea=0 * maps().sea), "all (is )?land"),
    "one day": (lambda: maps(times=1), "a single time"),
    "NaN in y": (lambda: with_a_gap_in("y"), "coordinates y .*1 of them not finite"),
    "NaN in x": (lambda: with_a_gap_in("x"), "coordinates x .*1 of them not finite"),
    "NaN in time": (lambda: with_a_gap_in("time"), "[Tt]imes"),
    "too large": (lambda: maps(side=TOO_LARGE), "GB"),
}


def problem_of(given):
    """The same as arrays."""
    days = (given.time.values - given.time.values[0]) / np.timedelta64(1, "D")
    land = given.sea.values == 0
    period = given.y.attrs["modulo"]
    grid = Grid(given.y.values, given.x.values, periods=(period, period), land=land)
    return FieldProblem(given.ssh.values[None], 0.01, days, grid)


@pytest.fixture(params=CASES)
def case(request, monkeypatch):
    """The maps, and what is said of them."""
    make, said = CASES[request.param]
    if request.param == "too large":
        memory = psutil.virtual_memory()._replace(total=MEMORY)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    return make(), said


@pytest.mark.parametrize("name", sorted(FIELD_METHODS))
def test_no_method_takes_them_as_arrays(name, case):
    given, said = case
    with pytest.raises(InputError, match=said) as refusal:
        FIELD_METHODS[name]().analyse(problem_of(given))
    assert "\n" not in str(refusal.value)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(FIELD_METHODS))
def test_no_method_takes_them_as_a_file(name, case, tmp_path):
    given, said = case
    given.to_netcdf(tmp_path / "maps.nc", engine="h5netcdf")
    data = ("--data", tmp_path / "maps.nc", "--mask", "sea", "--noise-variance", 0.01)
    result = invoke("assimilate", name, *data, "--out", tmp_path / "filled.nc")
    assert result.exit_code == 2
    assert result.stdout == ""
    # Warnings may stand before it.
    *_, last = result.stderr.splitlines()
    assert re.match(f"Error: .*{said}", last)
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "filled.nc").exists()
