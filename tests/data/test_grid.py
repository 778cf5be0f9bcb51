import numpy as np
import pytest
from scipy.spatial import cKDTree

from tests.data.series import field
from tf4dvar.data import Layout
from tf4dvar.data.fields import simulate_fields
from tf4dvar.data.grid import EARTH_RADIUS, Grid, distances
from tf4dvar.errors import InputError
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.instruments import PLANS


def stacked(data):
    return Layout.of(data).stack(data)


def test_distances_on_the_sphere_are_those_of_great_circles():
    grid = Grid.of(stacked(field()))
    assert grid.spherical
    one, other = grid.positions[0, 0], grid.positions[3, 4]
    away = np.linalg.norm(one - other)
    latitudes, longitudes = np.radians(grid.y[[0, 3]]), np.radians(grid.x[[0, 4]])
    cosine = np.prod(np.sin(latitudes)) + np.prod(np.cos(latitudes)) * np.cos(
        np.diff(longitudes)[0]
    )
    np.testing.assert_allclose(away, EARTH_RADIUS * np.arccos(cosine), rtol=1e-3)


def test_longitudes_meet_behind_the_circle():
    grid = Grid(np.array([0.0]), np.array([0.5, 180.0, 359.5]), spherical=True)
    near = np.linalg.norm(grid.positions[0, 0] - grid.positions[0, 2])
    np.testing.assert_allclose(near, EARTH_RADIUS * np.radians(1.0), rtol=1e-4)


def test_a_simulated_field_repeats():
    system = QuasiGeostrophic(points=16)
    data = simulate_fields(system, PLANS["nadirs"], days=2, spin_up=1).isel(member=0)
    grid = Grid.of(stacked(data))
    assert grid.periods == (1000.0, 1000.0)
    tree = cKDTree(grid.positions.reshape(-1, 2), boxsize=grid.box)
    distance, _ = tree.query(grid.positions[0, 0], k=5)
    np.testing.assert_allclose(distance, [0, 62.5, 62.5, 62.5, 62.5])
    places = grid.positions.reshape(-1, 2)
    found = np.sort(distances(places[:1], places, grid.box)[0])
    np.testing.assert_allclose(found, tree.query(places[0], k=len(places))[0])


def test_metres_are_kilometres():
    data = field().assign_coords(
        lat=("lat", 1000.0 * np.arange(4), {"units": "m"}),
        lon=("lon", 2.0 * np.arange(5), {"units": "km"}),
    )
    data = data.rename(lat="y", lon="x")
    grid = Grid.of(stacked(data))
    assert grid.y.tolist() == [0, 1, 2, 3]
    assert grid.x.tolist() == [0, 2, 4, 6, 8]
    assert (grid.box == 0).all()


def test_latitudes_and_longitudes_without_units_are_degrees():
    data = field()
    bare = data.assign_coords(lat=data["lat"].values, lon=data["lon"].values)
    assert not bare["lat"].attrs
    np.testing.assert_array_equal(
        Grid.of(stacked(bare)).positions, Grid.of(stacked(data)).positions
    )


def in_km(data, period):
    data = data.rename(lat="y", lon="x").assign_coords(
        y=("y", np.arange(4.0), {"units": "km", "modulo": period}),
        x=("x", np.arange(5.0), {"units": "km"}),
    )
    return data


Y, X = np.arange(3.0), np.arange(4.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": np.array([0.0, np.nan, 2.0])}, "1 of them not finite"),
        ({"x": np.array([0.0, 1.0, 1.0, 2.0])}, "twice"),
        ({"y": np.array([0.0, 50.0, 100.0]), "spherical": True}, "90 at most"),
        ({"periods": (None, 2.0)}, "larger than the grid's 3"),
        ({"land": np.ones((3, 4), bool)}, "all land"),
        ({"land": np.zeros((4, 3), bool)}, "expected True and False of shape"),
        ({"land": np.zeros((3, 4))}, "type float64"),
    ],
)
def test_what_is_no_grid_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Grid(**({"y": Y, "x": X} | arguments))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.drop_vars("lat"), "without coordinates lat"),
        (lambda data: data.rename(lat="y").assign_coords(y=np.arange(4.0)), "in the units"),
        (lambda data: data.isel(lat=0), "expected time, y and x"),
        (lambda data: data.assign_coords(lat=list("abcd")), "of the type <U1; expected numbers"),
        (lambda data: in_km(data, "round"), "modulo of 'y' is 'round'"),
        (lambda data: in_km(data, np.inf), "modulo of 'y' is inf"),
        (lambda data: in_km(data, -4.0), "modulo of 'y' is -4.0"),
        (lambda data: in_km(data, np.ones(2)), "modulo of 'y' is"),
        (lambda data: in_km(data, 2.0), "larger than the grid's 3"),
    ],
)
def test_coordinates_that_tell_no_place_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Grid.of(stacked(change(field())))
