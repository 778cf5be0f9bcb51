"""Instruments that see parts of a field, alone and together."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tf4dvar.errors import InputError
from tf4dvar.systems.altimeters import NADIRS, SWATH
from tf4dvar.systems.clouds import Clouds
from tf4dvar.systems.points import Points


class Instrument(Protocol):
    """What sees some points of a grid on some days, with errors of one size."""

    @property
    def noise(self) -> float:
        """Standard deviation of an observation's error."""

    def seen(self, days: int, points: int, length: float, rng: np.random.Generator) -> np.ndarray:
        """Which points are seen, [day, y, x].

        Args:
            days: number of days.
            points, length: of the grid along each side, and of the side in m.
            rng: draws what of it is chance.
        """


PLANS: dict[str, Sequence[Instrument]] = {
    "nadirs": NADIRS,
    "swath": SWATH,
    "clouds": (Clouds(),),
    "points": (Points(),),
}
"""Instruments by the names of `tf4dvar simulate --plan`.

A plan of your own is a sequence of instruments, each with errors of its own size:
`(*NADIRS, Points(share=0.01, noise=0.05))`; `observed_by` and `simulate_fields` take it.
"""


def observed_by(
    instruments: Sequence[Instrument], truth: np.ndarray, length: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy observations of fields, and the variance of their errors; NaN where there are none.

    Where several instruments see a point on a day, it is their mean weighted by their errors.

    Args:
        instruments: they.
        truth: [member, day, y, x], y and x of as many points.
        length: of a side of the grid, m.
        rng: draws what is seen and the errors; every member has its own.

    Usage:

        from tf4dvar.systems.altimeters import NADIRS
        from tf4dvar.systems.clouds import Clouds
        from tf4dvar.systems.instruments import observed_by

        instruments = (*NADIRS, Clouds(noise=0.1))
        truth, rng = np.zeros((2, 10, 64, 64)), np.random.default_rng(0)
        observations, variance = observed_by(instruments, truth, 1e6, rng)
        # Seen by an altimeter alone, by the radiometer alone, and by both.
        for expected in (0.02**2, 0.1**2, 1 / (0.02**-2 + 0.1**-2)):
            assert np.isclose(variance, expected).any()
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
