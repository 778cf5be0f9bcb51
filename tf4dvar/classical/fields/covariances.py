"""Covariances of fields in space and time, and kernels of distances."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.linalg import block_diag
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from tf4dvar.data.grid import EARTH_RADIUS, Grid

KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gaussian": lambda squares: np.exp(-squares / 2),
    "exponential": lambda squares: np.exp(-np.sqrt(squares)),
    "matern": lambda squares: (1 + np.sqrt(3 * squares)) * np.exp(-np.sqrt(3 * squares)),
}
"""Correlations by the square of a distance in units of length and days; all are positive definite
in a space of any dimension. That of Matern has the smoothness 3/2: its fields have one derivative,
those of the exponential none, those of the Gaussian all."""
DEGREES = {"gaussian": np.inf, "exponential": 1.0, "matern": 3.0}
"""Each kernel is the mean of cosines whose wavenumbers have a t distribution of so many degrees of
freedom (Rasmussen and Williams 2006, section 4.2.1)."""


class FieldCovariance(Protocol):
    """A covariance between points of maps.

    Points are indices into [time, y, x], all dimensions in one, as of `np.flatnonzero`.
    """

    @property
    def variance(self) -> float:
        """Of a point."""

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """Where points are, [point, dimension], such that near ones are highly correlated.

        Args:
            points: they.
        """

    def between(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Covariances of two sets of points, [some, others].

        Args:
            some, others: points.
        """


@dataclass(frozen=True)
class KernelCovariance:
    """A covariance that falls with the distance in space and time, in a frame that drifts.

        C = variance kernel(|r - drift t|^2 / length^2 + t^2 / days^2)

    Features that move keep their correlation for longer in their frame, as the maps of altimetry
    have it (Ducet et al. 2000, doi:10.1029/2000JC900063). The sphere turns, so that the middle of
    the grid has the drift.

    Attributes:
        grid: of the maps.
        times: of the maps, days.
        kernel: a name in `KERNELS`.
        length: km.
        days: as a length is to space.
        variance: of a point.
        drift_x, drift_y: of the frame along x and y, km a day.

    Usage:

        from tf4dvar.classical.fields.covariances import KernelCovariance
        from tf4dvar.data.grid import Grid

        grid = Grid(np.arange(3.0), np.arange(4.0))
        covariance = KernelCovariance(grid, np.arange(2.0), "exponential", 1.0, 2.0, 5.0)
        assert np.allclose(covariance.between([0], [0, 1, 12]), 5 * np.exp([0, -1, -0.5]))
    """

    grid: Grid
    times: np.ndarray
    kernel: str
    length: float
    days: float
    variance: float
    drift_x: float = 0.0
    drift_y: float = 0.0

    @cached_property
    def _places(self) -> np.ndarray:
        """Positions in units of the length, [y and x in one, dimension]."""
        places = self.grid.positions.reshape(-1, len(self.grid.box))
        return on_circles(places, self.grid.box) / self.length

    @cached_property
    def _frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Of every time how places are turned, [time, from, to], and shifted, [time, dimension]."""
        # Counted from the middle, from which nothing is far.
        days = self.times - self.times.mean()
        if self.grid.spherical:
            turns = Rotation.from_rotvec(np.multiply.outer(days, self._spin)).as_matrix()
            return turns, np.zeros((len(days), 3))
        turns, shifts = [], []
        for drift, period in zip((self.drift_y, self.drift_x), self.grid.box, strict=True):
            angles = 2 * np.pi * drift * days / (period or np.inf)
            plane = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
            turns.append(plane if period else plane[:1, :1])
            shifts += [0 * days] * 2 if period else [-drift * days / self.length]
        blocks = zip(*(np.moveaxis(each, -1, 0) for each in turns), strict=True)
        return np.stack([block_diag(*each) for each in blocks]), np.stack(shifts, axis=-1)

    @cached_property
    def _spin(self) -> np.ndarray:
        """Of the sphere, by which its middle has the drift, rad a day about three axes."""
        latitude, longitude = (
            np.radians((axis.min() + axis.max()) / 2) for axis in (self.grid.y, self.grid.x)
        )
        north = np.array([0.0, 0.0, 1.0])
        east = np.array([-np.sin(longitude), np.cos(longitude), 0.0])
        outwards = np.cross(east, north) * np.cos(latitude) + north * np.sin(latitude)
        drift = self.drift_x * east + self.drift_y * np.cross(outwards, east)
        return np.cross(outwards, drift) / EARTH_RADIUS

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """See `FieldCovariance`; in units of length and of days.

        Args:
            points: they.
        """
        time, place = np.divmod(points, len(self._places))
        turns, shifts = self._frames
        places = np.einsum("pi,pij->pj", self._places[place], turns[time]) + shifts[time]
        return np.column_stack([places, self.times[time] / self.days])

    def between(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """See `FieldCovariance`.

        Args:
            some, others: points.
        """
        squares = cdist(self.coordinates(some), self.coordinates(others), "sqeuclidean")
        return self.variance * KERNELS[self.kernel](squares)


@dataclass(frozen=True)
class SeparableCovariance(KernelCovariance):
    """A kernel of the distance in space times that of Matern of the distance in time.

        C = variance kernel(|r - drift t|^2 / length^2) matern(t^2 / days^2)

    Attributes:
        grid, times, kernel, length, variance, drift_x, drift_y: as of its base.
        days: of the kernel in time.
    """

    def between(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """See `FieldCovariance`.

        Args:
            some, others: points.
        """
        one, other = self.coordinates(some), self.coordinates(others)
        space = KERNELS[self.kernel](cdist(one[:, :-1], other[:, :-1], "sqeuclidean"))
        time = KERNELS["matern"](np.square(np.subtract.outer(one[:, -1], other[:, -1])))
        return self.variance * space * time


def on_circles(places: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Places whose dimensions with a period are bent to circles of that circumference.

    Distances between them are chords. A kernel of chords is positive definite, which one of
    distances around a circle is not always; for a tenth of a period they differ by 1.6 %.

    Args:
        places: [place, dimension].
        periods: of every dimension, 0 where it has none.
    """
    parts = []
    for values, period in zip(places.T, periods, strict=True):
        radius, angles = period / (2 * np.pi), 2 * np.pi * values / (period or 1.0)
        parts += [radius * np.cos(angles), radius * np.sin(angles)] if period else [values]
    return np.column_stack(parts)
