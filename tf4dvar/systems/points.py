"""Instruments that see single points of a grid, as drifters and floats do."""

from dataclasses import dataclass

import numpy as np

from tf4dvar.errors import InputError


@dataclass(frozen=True)
class Points:
    """Points of the grid at random, others every day, the same number of them.

    Attributes:
        share: of the grid's points that are seen on a day.
        noise: standard deviation of an observation's error.
    """

    share: float = 0.05
    noise: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"Received {self}; expected a share above 0, 1 at most.")

    def seen(self, days: int, points: int, length: float, rng: np.random.Generator) -> np.ndarray:
        """Which points are seen, [day, y, x].

        Args:
            days: number of days.
            points, length: of the grid along each side, and of the side in m, on which nothing
                depends.
            rng: draws the points.
        """
        seen = np.zeros((days, points**2), bool)
        number = max(round(self.share * points**2), 1)
        for day in seen:
            day[rng.choice(points**2, number, replace=False)] = True
        return seen.reshape(days, points, points)
