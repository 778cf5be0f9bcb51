import numpy as np
import pytest

from tf4dvar.data.grid import Grid
from tf4dvar.evaluation.raster import Raster


def test_even_rows_and_columns_stay_as_they_are(rng):
    raster = Raster.of(Grid(np.arange(3.0), 10 * np.arange(5.0)))
    maps = rng.normal(size=(2, 3, 5))
    np.testing.assert_array_equal(raster.cut(maps), maps)
    assert raster.extent == (-5.0, 45.0, -0.5, 2.5)
    assert raster.height == pytest.approx(3 / 50)
    assert raster.labels == ("x (km)", "y (km)")


def test_north_is_above_however_the_rows_are_stored(rng):
    latitudes = np.linspace(30, 40, 11)
    maps = rng.normal(size=(11, 4))
    up = Raster.of(Grid(latitudes, np.arange(4.0), spherical=True))
    down = Raster.of(Grid(latitudes[::-1], np.arange(4.0), spherical=True))
    np.testing.assert_array_equal(up.cut(maps), down.cut(maps[::-1]))
    assert up.extent == down.extent
    assert up.aspect == pytest.approx(1 / np.cos(np.radians(35)))
    assert up.labels == ("longitude (degrees east)", "latitude (degrees north)")


@pytest.mark.parametrize("longitudes", [[358, 359, 0, 1, 2], [-2, -1, 0, 1, 2]])
def test_longitudes_go_on_at_greenwich(longitudes):
    raster = Raster.of(Grid(np.arange(3.0), np.array(longitudes, float), spherical=True))
    np.testing.assert_array_equal(raster.columns, np.arange(5))
    assert raster.extent[:2] == (-2.5, 2.5)


def test_longitudes_go_on_at_the_date_line():
    raster = Raster.of(Grid(np.arange(3.0), np.array([178.0, 179, -180, -179]), spherical=True))
    np.testing.assert_array_equal(raster.columns, np.arange(4))
    assert raster.extent[:2] == (177.5, 181.5)


def test_uneven_rows_take_the_room_they_have():
    raster = Raster.of(Grid(np.array([0.0, 1.0, 2.0, 6.0]), np.arange(2.0)))
    np.testing.assert_array_equal(raster.rows[:3], [0, 1, 2])
    assert len(raster.rows) == 7
    assert set(raster.rows[5:]) == {3}


def test_one_row_and_too_many():
    raster = Raster.of(Grid(np.array([7.0]), np.arange(1000.0)), most=100)
    assert raster.extent[2:] == (6.5, 7.5)
    assert len(raster.columns) == 100
    assert (raster.columns[0], raster.columns[-1]) == (0, 999)
    assert (np.abs(np.diff(raster.columns) - 10) <= 1).all()
