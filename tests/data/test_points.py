import numpy as np
import pytest
import xarray as xr

from tf4dvar import open_data
from tf4dvar.data import Series
from tf4dvar.data.fields import simulate_fields
from tf4dvar.data.grid import Grid
from tf4dvar.data.points import binned
from tf4dvar.errors import InputError
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.altimeters import NADIRS
from tf4dvar.systems.points import Points

KM = {"units": "km"}
DAYS = np.arange(4.0)
PLANE = Grid(10.0 * np.arange(5), 10.0 * np.arange(6))


def table(time, y, x, value=1.0, error=0.1, names=("y", "x"), units=KM):
    """Points, each of whose columns may be a number."""
    columns = np.broadcast_arrays(np.atleast_1d(time), y, x, value, error)
    time, y, x, value, error = (("obs", each) for each in columns)
    data = xr.Dataset({"time": time, "value": value, "error": error})
    return data.assign({names[0]: (*y, units), names[1]: (*x, units)})


def test_a_mean_is_weighted_and_surer_than_each():
    points = table(
        [0.9, 1.2, 1.4, 3.0], [11, 8, 14, 40], [29, 34, 26, 0], [1, 2, 4, 7], [1, 2, 2, 3]
    )
    maps = binned(points, PLANE, DAYS)
    expected, variance = np.full((2, 4, 5, 6), np.nan)
    expected[1, 1, 3] = (1 + 2 / 4 + 4 / 4) / (1 + 1 / 4 + 1 / 4)
    variance[1, 1, 3] = 1 / 1.5
    expected[3, 4, 0], variance[3, 4, 0] = 7, 9
    np.testing.assert_allclose(maps["observations"], expected)
    np.testing.assert_allclose(maps["noise_variance"], variance)
    coarse = binned(points, PLANE, DAYS, representativeness=0.5)
    np.testing.assert_allclose(coarse["observations"], expected)
    np.testing.assert_allclose(coarse["noise_variance"], variance + 0.25)
    backwards = binned(points.isel(obs=slice(None, None, -1)), PLANE, DAYS)
    xr.testing.assert_allclose(backwards, maps)


def test_means_of_many_are_as_sure_as_they_say(rng, caplog):
    caplog.set_level("INFO")
    time, y, x = (rng.uniform(-0.5, size - 0.5, 20_000) for size in (4, 5, 6))
    error = rng.uniform(0.1, 1.0, time.shape)
    value = 3 + error * rng.normal(size=time.shape)
    maps = binned(table(time, 10 * y, 10 * x, value, error), PLANE, DAYS)
    errors = (maps["observations"] - 3) / np.sqrt(maps["noise_variance"])
    # Of 120 cells.
    assert float(np.square(errors).mean()) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 120))
    assert "Points of one cell differ from each other by 1 errors" in caplog.text
    caplog.clear()
    binned(table(time, 10 * y, 10 * x, value, error / 3), PLANE, DAYS)
    assert "by 3 errors" in caplog.text


def test_observations_that_were_on_a_grid_come_back():
    plan = (*NADIRS, Points(noise=0.1))
    data = simulate_fields(QuasiGeostrophic(points=16), plan, 6, spin_up=2).isel(member=0)
    seen = data["observations"].stack(obs=("time", "y", "x")).dropna("obs").reset_index("obs")
    where = {axis: ("obs", seen[axis].values, KM) for axis in "yx"}
    error = np.sqrt(data["noise_variance"].stack(obs=("time", "y", "x")).dropna("obs").values)
    points = xr.Dataset(
        {
            "time": ("obs", seen["time"].values),
            "value": ("obs", seen.values, {"units": "m"}),
            "error": ("obs", error),
            **where,
        }
    )
    grid = Grid(data["y"].values, data["x"].values, periods=(1000.0, 1000.0))
    maps = binned(points.isel(obs=slice(None, None, -1)), grid, data["time"].values)
    for name in ("observations", "noise_variance"):
        np.testing.assert_allclose(maps[name], data[name], rtol=1e-6)
    assert maps["noise_variance"].attrs["units"] == "m2"


@pytest.mark.parametrize("dates", [True, False])
@pytest.mark.parametrize(
    "grid",
    [
        PLANE,
        Grid(PLANE.y, PLANE.x, periods=(None, 60.0)),
        Grid(np.arange(50.0, 30, -5), np.arange(0.0, 360, 10), spherical=True),
    ],
)
def test_maps_are_what_the_package_reads(tmp_path, grid, dates):
    times = np.datetime64("2020-01-01", "ns") + np.arange(4) * np.timedelta64(1, "D")
    names = ("latitude", "longitude") if grid.spherical else ("y", "x")
    units = {} if grid.spherical else KM
    points = table(1.0, grid.y, grid.x[: len(grid.y)], 5.0, names=names, units=units)
    if dates:
        points["time"] = ("obs", np.full(len(grid.y), times[1]))
    maps = binned(points, grid, times if dates else DAYS)
    maps.to_netcdf(tmp_path / "maps.nc", engine="h5netcdf")
    series = Series.of(open_data(tmp_path / "maps.nc", ["observations"]))
    read = Grid.of(series.observations)
    np.testing.assert_array_equal(read.y, grid.y)
    np.testing.assert_array_equal(read.x, grid.x)
    assert (read.spherical, read.periods) == (grid.spherical, grid.periods)
    assert int(series.observations.notnull().sum()) == len(grid.y)


def columns_of(maps):
    return np.nonzero(maps["observations"].notnull().any(("time", "y")).values)[0].tolist()


def test_longitudes_and_periods_go_round():
    names = {"names": ("lat", "lon"), "units": {}}
    lat = np.arange(40.0, 45)
    world = Grid(lat, np.arange(-180.0, 180, 90), spherical=True)
    for lon, column in ((359.0, 2), (180.0, 0), (-170.0, 0), (140.0, 0), (130.0, 3), (225.1, 1)):
        assert columns_of(binned(table(0.0, 42, lon, **names), world, DAYS)) == [column]
    region = Grid(lat, np.arange(350.0, 355), spherical=True)
    assert columns_of(binned(table(0.0, 42, [-10.4, -5.6], **names), region, DAYS)) == [0, 4]
    ring = Grid(PLANE.y, PLANE.x, periods=(None, 60.0))
    assert columns_of(binned(table(0.0, 20, [-21.0, 56.0, 1224.0]), ring, DAYS)) == [0, 2, 4]


def test_rows_may_descend_and_be_uneven():
    grid = Grid(np.array([90.0, 40, 30, 0]), PLANE.x)
    maps = binned(table(0.0, [64.0, 66, 36, 34, 14], 0.0, [1, 2, 3, 4, 5]), grid, DAYS)
    np.testing.assert_array_equal(maps["observations"][0, :, 0], [2, (1 + 3) / 2, 4, 5])
    metres = table(0.0, [64e3, 14e3], 0.0, units={"units": "metres"})
    assert binned(metres, grid, DAYS)["observations"][0, :, 0].notnull().values.tolist() == [
        False,
        True,
        False,
        True,
    ]


def test_what_is_elsewhere_is_counted_and_left_out(caplog):
    land = np.zeros(PLANE.shape, bool)
    land[0, 0] = True
    grid = Grid(PLANE.y, PLANE.x, land=land)
    points = table(
        [0.0, 3.6, -0.6, 1.0, 1.0, 1.0, 2.0],
        [20, 20, 20, 45.1, 20, 4, 20],
        [20, 20, 20, 20, -5.1, 4, 20],
        [1, 1, 1, 1, 1, 1, np.nan],
        [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, np.nan],
    )
    maps = binned(points, grid, DAYS)
    assert int(maps["observations"].notnull().sum()) == 1
    told = "Of 7 points 1 have no value, 2 are at other times, 2 are off the grid, 1 are on land"
    assert told in caplog.text
    with pytest.raises(InputError, match=r"of which .* 2 are at other times, .*expected some"):
        binned(points.isel(obs=slice(1, None)), grid, DAYS)


NOT_FINITE = table([0, np.nan, 1], [np.inf, 20, 20], [20, np.nan, np.nan])


@pytest.mark.parametrize(
    ("points", "grid", "message"),
    [
        (NOT_FINITE, PLANE, "1 of time, 1 of y, 2 of x"),
        (table(0.0, 95, 700, names=("lat", "lon"), units={}), "sphere", "1 of y, 1 of x"),
        (table(0.0, 1, 1, units={}), PLANE, "in the units ''; expected m or km"),
        (table(0.0, 1, 1, units={"units": "degrees_north"}), PLANE, "expected m or km"),
        (table(0.0, 1, 1), "sphere", "expected degrees"),
        (table(0.0, 1, 1).rename(x="easting"), PLANE, "expected one of lon, longitude, x"),
        (table(0.0, 1, 1).drop_vars("time"), PLANE, "Received `time` of points as object"),
        (table(0.0, 1, 1).drop_vars("error"), PLANE, "expected numbers 'error'"),
        (table(0.0, 1, 1, "one"), PLANE, "expected numbers 'value' among them, it is of type"),
        (table(0.0, 1, 1, np.inf), PLANE, "Received 1 infinite values and 0 errors"),
        (table(0.0, 1, 1, error=[0.0, np.nan, -1, 1]), PLANE, "0 infinite values and 3 errors"),
        (table([], [], []), PLANE, "one point or more"),
        (xr.Dataset({"value": (("a", "b"), np.ones((2, 2)))}), PLANE, "one dimension"),
        (np.ones((5, 4)), PLANE, "points as ndarray"),
        (table(0.0, 1, 1), Grid(np.arange(2.0), np.arange(1.0)), "expected two of each"),
        (table(0.0, 1, 1), Grid(np.arange(2e6), np.arange(1e6)), "GB are needed"),
    ],
)
def test_what_are_no_points_is_refused(points, grid, message):
    if grid == "sphere":
        grid = Grid(np.arange(40.0, 45), np.arange(10.0, 15), spherical=True)
    with pytest.raises(InputError, match=message):
        binned(points, grid, DAYS)


def test_times_have_to_be_of_one_kind():
    dates = np.array(["2020-01-01", "2020-01-03"], "M8[ns]")
    with pytest.raises(InputError, match="as numbers in 'd' and times of maps as dates"):
        binned(table(0.0, 1, 1), PLANE, dates)
    hours = table(0.0, 1, 1)
    hours["time"].attrs["units"] = "hours"
    with pytest.raises(InputError, match="as numbers in 'h'"):
        binned(hours, PLANE, DAYS)
    with pytest.raises(InputError, match="do not ascend"):
        binned(table(0.0, 1, 1), PLANE, DAYS[::-1])
    for wrong in (-1.0, np.nan):
        with pytest.raises(InputError, match="standard deviation of 0 or more"):
            binned(table(0.0, 1, 1), PLANE, DAYS, wrong)
    undated = table(0.0, 1, 1)
    undated["time"] = ("obs", np.array(["NaT"], "M8[ns]"))
    with pytest.raises(InputError, match="1 of time"):
        binned(undated, PLANE, dates)
