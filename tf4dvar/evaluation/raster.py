"""A grid as a picture: rows and columns of one size, its edges and its axes."""

from typing import NamedTuple

import numpy as np

from tf4dvar.data.grid import Grid

# Rows or columns, more than a screen shows of a map among others.
MOST = 1024


class Raster(NamedTuple):
    """Even rows and columns, each the nearest of the grid's: pictures have no other.

    Attributes:
        rows, columns: which of the grid's they are, from the lowest coordinate on.
        extent: left, right, bottom and top edge, in the grid's coordinates.
        aspect: length of a unit of y in units of x: 1 on a plane, more away from the equator.
        labels: of x and y, with units.

    Usage:

        from tf4dvar.data.grid import Grid
        from tf4dvar.evaluation.raster import Raster

        raster = Raster.of(Grid(np.array([2.0, 1.0]), np.array([10.0, 20.0, 30.0])))
        assert raster.extent == (5.0, 35.0, 0.5, 2.5)
        assert (raster.cut(np.array([[1, 2, 3], [4, 5, 6]]))[0] == [4, 5, 6]).all()
    """

    rows: np.ndarray
    columns: np.ndarray
    extent: tuple[float, float, float, float]
    aspect: float
    labels: tuple[str, str]

    @classmethod
    def of(cls, grid: Grid, most: int = MOST) -> "Raster":
        """The raster of a grid, as fine as where the grid is finest.

        Args:
            grid: it. Longitudes may go on after 360 degrees, or after 180 at -180.
            most: rows or columns.
        """
        x, aspect, labels = grid.x, 1.0, ("x (km)", "y (km)")
        if grid.spherical:
            x = np.unwrap(x, period=360.0)
            x = x - 360.0 * (x.max() > 360.0)
            aspect = 1 / max(np.cos(np.radians(grid.y.mean())), 0.1)
            labels = "longitude (degrees east)", "latitude (degrees north)"
        (rows, bottom, top), (columns, left, right) = _even(grid.y, most), _even(x, most)
        return cls(rows, columns, (left, right, bottom, top), aspect, labels)

    def cut(self, maps: np.ndarray) -> np.ndarray:
        """Maps on the grid, on the raster.

        Args:
            maps: [..., y, x].
        """
        return maps[..., self.rows[:, None], self.columns]

    @property
    def height(self) -> float:
        """Of the picture, in units of its width."""
        left, right, bottom, top = self.extent
        return self.aspect * (top - bottom) / (right - left)


def _even(coordinates, most):
    """The nearest coordinates of even ones, and the edges of all."""
    along = np.sort(coordinates)
    if len(along) == 1:
        return np.zeros(1, int), along[0] - 0.5, along[0] + 0.5
    number = min(round(np.ptp(along) / np.diff(along).min()) + 1, most)
    even, step = np.linspace(along[0], along[-1], number, retstep=True)
    nearest = np.abs(even[:, None] - coordinates).argmin(1)
    return nearest, float(along[0] - step / 2), float(along[-1] + step / 2)
