"""Altimeters over a box: which points of a grid their tracks cross, day by day."""

from dataclasses import dataclass

import numpy as np

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
