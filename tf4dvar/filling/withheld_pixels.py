"""Pixels withheld from methods below the clouds of other days: some to choose by, some to score."""

from typing import NamedTuple

import numpy as np

from tf4dvar.classical.fields.withheld import FEW
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream


class WithheldPixels(NamedTuple):
    """Two sets of observations, of different days.

    Attributes:
        choice: by which methods are chosen and blended, [member, time, y, x].
        scoring: on which what was chosen is scored, the same shape.
    """

    choice: np.ndarray
    scoring: np.ndarray

    @property
    def both(self) -> np.ndarray:
        """All that methods do not see."""
        return self.choice | self.scoring


def withheld_pixels(observed: np.ndarray, seed: int = 0) -> WithheldPixels:
    """What other days do not observe of the clearest ones, on half of all days at most.

    A day keeps as many observations as that of fewest has, if one of the others leaves so many.
    The clearest day is for the choice, the next one for the scores, and so on.

    Args:
        observed: where there are observations, [member, time, y, x].
        seed: of the days whose gaps are taken.

    Raises:
        InputError: there are no two days of which some can be withheld.
    """
    choice, scoring = np.zeros((2, *observed.shape), bool)
    for number, member in enumerate(observed):
        rng = random_stream("withheld pixels", seed, number)
        counts = member.sum(axis=(1, 2))
        fewest = counts[counts > 0].min()
        half, few = (max(len(member) // share, 2) for share in (2, FEW))
        # Where days see too little alike, as along tracks, nothing is left of a few.
        covered = _below_others(member, fewest, half, rng) or _below_others(member, 0, few, rng)
        if not covered:
            raise InputError(
                "Received maps of which no two days observe what another does not: nothing can be "
                "withheld to choose by and to score on. Take more days, or `tf4dvar assimilate oi`."
            )
        for place, (day, hidden) in enumerate(covered):
            (choice, scoring)[place % 2][number, day] = hidden
    return WithheldPixels(choice, scoring)


def _below_others(member, least, most, rng):
    """The clearest days and what others hide of them, at most so many; none instead of one."""
    clearness = member.sum(axis=(1, 2))
    covered = []
    for day in np.argsort(-clearness, kind="stable"):
        kept = (member & member[day]).sum(axis=(1, 2))
        others = np.flatnonzero((kept < clearness[day]) & (kept >= least))
        if len(others):
            covered.append((day, member[day] & ~member[rng.choice(others)]))
        if len(covered) == most:
            break
    return covered if len(covered) > 1 else []
