"""H of points: what maps have at places that are none of their grid's."""

import numpy as np
import xarray as xr
from scipy import sparse

from tf4dvar.data.grid import Grid
from tf4dvar.data.places import corners, places_of
from tf4dvar.errors import InputError

# In steps: until when a map stands for times before the first or after the last, and what beyond
# the outermost points of a grid is taken for on them, as single precision writes them down.
IN_TIME, ON_GRID = 0.5, 1e-3


def observation_matrix(points: xr.Dataset, grid: Grid, times: np.ndarray) -> sparse.csr_array:
    """H of points: what maps have there, [point, time y x].

    Bilinear between the points of the grid and linear between times; within half a step before
    the first time and after the last, that of it. `H @ maps.ravel()` simulates the values,
    `H.T @ values` is the adjoint.

    Args:
        points: a table, see `tf4dvar.data.points`; neither values nor errors are needed.
        grid: where maps have their points.
        times: [time], of the maps, ascending.

    Raises:
        InputError: coordinates are not finite, their units are missing or wrong, or a point does
            not lie between points of the grid off land: see `inside`.

    Usage:

        import xarray as xr
        from tf4dvar.data.grid import Grid
        from tf4dvar.data.observation_matrix import inside, observation_matrix

        km = {"units": "km"}
        track = xr.Dataset(
            {
                "time": ("obs", [0.5, 1.0]),
                "y": ("obs", [15.0, 99.0], km),
                "x": ("obs", [2.5, 0.0], km),
            }
        )
        grid, days = Grid(np.arange(0.0, 50, 10), np.arange(0.0, 80, 10)), np.arange(3.0)
        matrix = observation_matrix(track.isel(obs=inside(track, grid, days)), grid, days)
        day, y, x = np.meshgrid(days, grid.y, grid.x, indexing="ij")
        assert np.allclose(matrix @ (day + y * x).ravel(), 0.5 + 15 * 2.5)
    """
    places = places_of(points, grid, times)
    outside = int((~_between(places, grid)).sum())
    if outside:
        raise InputError(
            f"Received {outside} of {len(places[0].weight)} points that do not lie between points "
            "of the grid off land, and its times; expected none: take those that "
            "tf4dvar.data.observation_matrix.inside says."
        )
    shape = (len(times), *grid.shape)
    number = len(places[0].weight)
    rows, columns, weights = [], [], []
    for weight, index in corners(places):
        used = np.flatnonzero(weight)
        rows.append(used)
        columns.append(np.ravel_multi_index([each[used] for each in index], shape))
        weights.append(weight[used])
    entries = np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array(entries, (number, int(np.prod(shape))))


def inside(points: xr.Dataset, grid: Grid, times: np.ndarray) -> np.ndarray:
    """Which points lie between points of the grid off land, and at its times, [point].

    Args:
        points, grid, times: as for `observation_matrix`.

    Raises:
        InputError: coordinates are not finite, or their units are missing or wrong.
    """
    return _between(places_of(points, grid, times), grid)


def _between(places, grid):
    result = places[0].beyond <= IN_TIME
    for each in places[1:]:
        result = result & (each.beyond <= ON_GRID)
    for weight, index in corners(places[1:]):
        result &= (weight == 0) | grid.sea[index]
    return result
