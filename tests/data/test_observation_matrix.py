import numpy as np
import pytest
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator

from tests.data.test_points import DAYS, PLANE, table
from tf4dvar.data.grid import Grid
from tf4dvar.data.observation_matrix import inside, observation_matrix
from tf4dvar.errors import InputError

NUMBER = 50


def scattered(rng, grid, days=DAYS):
    """Coordinates of points between those of a grid, [point]."""
    axes = (days, grid.y, grid.x)
    return tuple(rng.uniform(each.min(), each.max(), NUMBER) for each in axes)


def sampled(function, grid, days=DAYS):
    return function(*np.meshgrid(days, grid.y, grid.x, indexing="ij"))


@pytest.mark.parametrize(
    "grid",
    [
        PLANE,
        Grid(np.array([90.0, 40, 30, 0]), np.array([5.0, 0, 11, 12])),
        Grid(np.arange(45.0, 40, -1), np.arange(-20.0, -10, 2.5), spherical=True),
    ],
)
def test_it_is_exact_on_bilinear_fields(rng, grid):
    a, b, c, d, e, f, g, h = rng.normal(size=8)

    def field(t, y, x):
        return a + b * t + c * y + d * x + e * y * x + f * t * y + g * t * x + h * t * y * x

    days = np.array([0.0, 0.5, 2.0, 4.0])
    t, y, x = scattered(rng, grid, days)
    named = {"names": ("lat", "lon"), "units": {}} if grid.spherical else {}
    around = 360 if grid.spherical else 0
    matrix = observation_matrix(table(t, y, x + around, **named), grid, days)
    values = matrix @ sampled(field, grid, days).ravel()
    np.testing.assert_allclose(values, field(t, y, x), rtol=1e-10, atol=1e-9)


def test_it_interpolates_as_others_do(rng):
    maps = rng.normal(size=(len(DAYS), *PLANE.shape))
    t, y, x = scattered(rng, PLANE)
    others = RegularGridInterpolator((DAYS, PLANE.y, PLANE.x), maps)(np.stack([t, y, x], axis=-1))
    matrix = observation_matrix(table(t, y, x), PLANE, DAYS)
    np.testing.assert_allclose(matrix @ maps.ravel(), others, atol=1e-12)
    assert matrix.shape == (NUMBER, maps.size)
    assert matrix.nnz <= 8 * NUMBER
    assert matrix.data.min() > 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)


def test_it_goes_round_where_the_field_does(rng):
    ring = Grid(PLANE.y, PLANE.x, periods=(50.0, 60.0))
    y, x = rng.uniform(-100, 100, (2, NUMBER))
    world = Grid(np.arange(40.0, 45), np.arange(0.0, 360, 60), spherical=True)
    lat, lon = rng.uniform(40, 44, NUMBER), rng.uniform(-360, 360, NUMBER)
    maps = rng.normal(size=(len(DAYS), *ring.shape))
    of_ring = observation_matrix(table(2.0, y, x), ring, DAYS) @ maps.ravel()
    others = ndimage.map_coordinates(maps[2], (y / 10, x / 10), order=1, mode="grid-wrap")
    np.testing.assert_allclose(of_ring, others, atol=1e-12)
    points = table(2.0, lat, lon, names=("lat", "lon"), units={})
    of_world = observation_matrix(points, world, DAYS) @ maps.ravel()
    wrapped = (lat - 40, np.mod(lon, 360) / 60)
    others = ndimage.map_coordinates(maps[2], wrapped, order=1, mode="grid-wrap")
    np.testing.assert_allclose(of_world, others, atol=1e-12)


def test_points_of_the_grid_have_its_values():
    maps = np.arange(4.0 * 5 * 6)
    t, y, x = (each.ravel() for each in np.meshgrid(DAYS, PLANE.y, PLANE.x, indexing="ij"))
    for factor, units in ((1.0, "km"), (1e3, "m")):
        points = table(t, factor * y, factor * x, units={"units": units})
        matrix = observation_matrix(points, PLANE, DAYS)
        np.testing.assert_array_equal(matrix @ maps, maps)
        assert matrix.nnz == maps.size


def test_a_map_stands_for_half_a_step_before_the_first_and_after_the_last():
    maps = np.repeat(DAYS, PLANE.y.size * PLANE.x.size)
    points = table([-0.5, 0.25, 3.5, -0.51, 3.51], 12.0, 13.0)
    assert inside(points, PLANE, DAYS).tolist() == [True, True, True, False, False]
    matrix = observation_matrix(points.isel(obs=slice(3)), PLANE, DAYS)
    np.testing.assert_allclose(matrix @ maps, [0.0, 0.25, 3.0])


def test_points_off_the_grid_or_beside_land_are_refused_with_their_number():
    land = np.zeros(PLANE.shape, bool)
    land[2, 2] = True
    grid = Grid(PLANE.y, PLANE.x, land=land)
    y = [12.0, 20, 20, 20, 41, -0.005]
    x = [12.0, 12, 10, 20, 10, 10]
    points = table(0.0, y, x)
    # Between land and sea; at a point of the sea beside; at the land; off; on, but for rounding.
    expected = [False, False, True, False, False, True]
    assert inside(points, grid, DAYS).tolist() == expected
    with pytest.raises(InputError, match="Received 4 of 6 points that do not lie"):
        observation_matrix(points, grid, DAYS)
    maps = np.where(land, np.nan, 1.0) * np.ones((4, 1, 1))
    matrix = observation_matrix(points.isel(obs=expected), grid, DAYS)
    np.testing.assert_array_equal(matrix @ maps.ravel(), 1.0)
    with pytest.raises(InputError, match="1 of time"):
        observation_matrix(table(np.nan, 1, 1), grid, DAYS)


def test_a_part_of_a_circle_is_none():
    region = Grid(np.arange(40.0, 45), np.arange(350.0, 356), spherical=True)
    points = table(0.0, 42.0, [-10.0, -7.5, -5.0, -4.9, -10.1, 180], names=("lat", "lon"), units={})
    assert inside(points, region, DAYS).tolist() == [True, True, True, False, False, False]
    part = Grid(PLANE.y, PLANE.x, periods=(None, 100.0))
    points = table(0.0, 20.0, [55.0, 105.0, -5.0, -50.0])
    assert inside(points, part, DAYS).tolist() == [False, True, False, True]
