"""Points of a field as such, as along the tracks of altimeters: put on a grid.

A table of points is a data set of one dimension with the variables `time`, dates or days; `lat` (or
`latitude`) and `lon` (or `longitude`), degrees, or `y` and `x`, m or km by their attribute `units`;
`value`, NaN where there is none; and `error`, its standard deviation. A grid on the sphere takes
latitudes and longitudes, one on a plane y and x. Times of maps are dates where those of the points
are, else days. What maps have at points themselves is of `tf4dvar.data.observation_matrix`.
"""

import logging

import numpy as np
import xarray as xr

from tf4dvar.data.grid import Grid
from tf4dvar.data.places import numbers_in, places_of
from tf4dvar.data.stacked import PERIOD
from tf4dvar.errors import InputError
from tf4dvar.runtime import check_memory

logger = logging.getLogger(__name__)

# In steps: where a cell ends.
HALF = 0.5


def binned(
    points: xr.Dataset, grid: Grid, times: np.ndarray, representativeness: float = 0.0
) -> xr.Dataset:
    """Means of points in the cells of a grid, weighted by their errors; NaN where there is none.

    A cell reaches half-way to the next points of the grid, and the next times. With errors e_i
    independent of each other the variance of a mean is 1 / sum(1 / e_i^2) + representativeness^2.
    Points beyond all cells, or in those of land, are left out, and their number is logged; so is
    by how much points of one cell differ from each other, in errors: more than 1 is what the
    errors do not tell, of scales that the grid does not show.

    Args:
        points: a table, see the module.
        grid: where maps have their points.
        times: [time], of the maps, ascending.
        representativeness: standard deviation of what a cell's points have in common that the
            grid's point does not; means of many points have it too. In the unit of the values.

    Returns:
        `observations` and the `noise_variance` of their errors, [time, y, x].

    Raises:
        InputError: coordinates or values are not finite, units or errors are missing or wrong, or
            no point is on the grid.

    Usage:

        import xarray as xr
        from tf4dvar.data.grid import Grid
        from tf4dvar.data.points import binned

        track = xr.Dataset(
            {
                "time": ("obs", [0.2, 0.3, 1.1]),
                "lat": ("obs", [40.1, 39.9, 41.0]),
                "lon": ("obs", [-5.0, 355.2, 356.0]),
                "value": ("obs", [0.1, 0.3, 0.2], {"units": "m"}),
                "error": ("obs", [0.02, 0.02, 0.02]),
            }
        )
        grid = Grid(np.arange(38.0, 43), np.arange(-6.0, 0), spherical=True)
        maps = binned(track, grid, np.arange(3.0))
        assert np.isclose(maps["observations"][0, 2, 1], 0.2)
        assert np.isclose(maps["noise_variance"][0, 2, 1], 0.02**2 / 2)
    """
    if not 0 <= representativeness < np.inf:
        raise InputError(
            f"Received representativeness={representativeness}; expected a standard deviation of "
            "0 or more."
        )
    places = places_of(points, grid, times)
    values, errors = _values(points)
    shape = (len(times), *grid.shape)
    _check_memory(shape)
    there = _counted(places, grid, np.isfinite(values))
    cells = np.ravel_multi_index([each.nearest[there] for each in places], shape)
    values, weights = values[there], errors[there] ** -2.0
    number, precision, total = (
        np.bincount(cells, each, np.prod(shape)) for each in (None, weights, weights * values)
    )
    precision[number == 0] = np.nan
    means = total / precision
    repeated = len(cells) - np.count_nonzero(number)
    if repeated:
        scatter = np.sqrt((weights * np.square(values - means[cells])).sum() / repeated)
        logger.info("Points of one cell differ from each other by %.2g errors.", scatter)
    variance = 1 / precision + representativeness**2
    told = points["value"].attrs
    units = {"units": f"{told['units']}2"} if "units" in told else {}
    return xr.Dataset(
        {
            "observations": (("time", "y", "x"), means.reshape(shape), told),
            "noise_variance": (
                ("time", "y", "x"),
                variance.reshape(shape),
                {"long_name": "variance of the observations' errors", **units},
            ),
        },
        {"time": np.asarray(times), **_coordinates(grid)},
    )


def _values(points):
    values, errors = numbers_in(points, "value"), numbers_in(points, "error")
    infinite = int(np.isinf(values).sum())
    wrong = int((~(errors > 0) | np.isinf(errors))[~np.isnan(values)].sum())
    if infinite or wrong:
        raise InputError(
            f"Received {infinite} infinite values and {wrong} errors that are not positive, finite "
            "numbers; expected values, NaN where there is none, and the standard deviation of each."
        )
    return values, errors


def _counted(places, grid, known):
    """Which points have a value and a cell at sea; how many have not is logged."""
    when, *where = (each.beyond <= HALF for each in places)
    on_grid = np.logical_and(*where)
    at_sea = grid.sea[tuple(each.nearest for each in places[1:])]
    there = known & when & on_grid & at_sea
    counts = {
        "have no value": ~known,
        "are at other times": known & ~when,
        "are off the grid": known & when & ~on_grid,
        "are on land": known & when & on_grid & ~at_sea,
    }
    told = ", ".join(f"{each.sum()} {how}" for how, each in counts.items() if each.any())
    if not there.any():
        raise InputError(
            f"Received {len(known)} points, of which {told}; expected some on the grid. Look at "
            "the units and at the first time."
        )
    if told:
        logger.warning("Of %d points %s; they are left out.", len(known), told)
    return there


def _coordinates(grid):
    """As `Grid.of` reads them."""
    if grid.spherical:
        units = {"y": {"units": "degrees_north"}, "x": {"units": "degrees_east"}}
    else:
        units = {
            axis: {"units": "km"} | ({} if period is None else {PERIOD: period})
            for axis, period in zip("yx", grid.periods, strict=True)
        }
    return {axis: (axis, getattr(grid, axis), units[axis]) for axis in "yx"}


def _check_memory(shape):
    check_memory(
        # Numbers, precisions, sums, means and variances.
        5 * 8 * np.prod(shape, dtype=float),
        f"Received {shape[0]} times and a grid of {shape[1]} x {shape[2]} points",
        "Take fewer days or a part of the grid.",
    )
