"""Altimeters over a box: which points of a grid their tracks cross, day by day."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tf4dvar.errors import InputError

# Between two neighbouring ground tracks of one satellite at middle latitudes, m.
BETWEEN_TRACKS = 2.47e6


@dataclass(frozen=True)
class Altimeter:
    """A satellite whose ascending and descending tracks are straight, and move from day to day.

    Attributes:
        slope: of a track, metres to the east for each to the north.
        precession: by which the tracks have moved a day later, in distances of two tracks.
        noise: standard deviation of an observation's error.
        half_width: of a swath, m; 0 for the points below the satellite alone.
        gap: half of what is not seen in the middle of a swath, m.
    """

    slope: float
    precession: float
    noise: float = 0.02
    half_width: float = 0.0
    gap: float = 0.0

    def seen(self, days: int, points: int, length: float, rng: np.random.Generator) -> np.ndarray:
        """Which points are seen, [day, y, x].

        Args:
            days: number of days.
            points, length: of the grid along each side, and of the side in m.
            rng: draws where the first tracks lie.
        """
        distance = length / points
        northward = (np.arange(points) - points / 2) * distance
        eastward = (np.arange(points) + 0.5) * distance
        seen = np.zeros((days, points, points), bool)
        for direction in (1, -1):
            phases = (rng.uniform() + self.precession * np.arange(days)) % 1
            middle = length / 2 + BETWEEN_TRACKS * (phases[:, None] - 0.5)
            track = middle + direction * self.slope * northward
            if self.half_width:
                away = np.abs(eastward - track[..., None])
                seen |= (away < self.half_width) & (away > self.gap)
            else:
                day, row = np.nonzero((track >= 0) & (track < length))
                seen[day, row, (track[day, row] / distance).astype(int)] = True
        return seen


NADIRS = (
    Altimeter(0.45, 0.7154),
    Altimeter(0.45, 0.7154),
    Altimeter(0.25, 0.3213),
    Altimeter(0.36, 0.1587),
)
"""Four altimeters as they fly today."""
SWATH = (*NADIRS, Altimeter(0.36, 0.4762, half_width=60e3, gap=10e3))
"""And one that sees 120 km across, but for the middle."""


def observed_by(
    instruments: Sequence[Altimeter], truth: np.ndarray, length: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy observations of fields, and the variance of their errors; NaN where there are none.

    Where several instruments see a point on a day, it is their mean weighted by their errors.

    Args:
        instruments: they.
        truth: [member, day, y, x], y and x of as many points.
        length: of a side of the grid, m.
        rng: draws tracks and errors; every member has its own.

    Usage:

        truth = np.zeros((2, 10, 64, 64))
        observations, variance = observed_by(NADIRS, truth, 1e6, np.random.default_rng(0))
        assert 0.02 < np.isfinite(observations).mean() < 0.1
    """
    members, days, *grid = truth.shape
    if len(grid) != 2 or grid[0] != grid[1]:
        raise InputError(
            f"Received fields of shape {truth.shape}; expected [member, day, y, x], as many "
            "points in y as in x."
        )
    total, weights = np.zeros(truth.shape), np.zeros(truth.shape)
    for member in range(members):
        for each in instruments:
            seen = each.seen(days, grid[0], length, rng)
            values = truth[member, seen] + each.noise * rng.normal(size=seen.sum())
            total[member, seen] += values / each.noise**2
            weights[member, seen] += each.noise**-2
    weights[weights == 0] = np.nan
    return total / weights, 1 / weights
