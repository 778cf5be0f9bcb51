"""Observations withheld as gaps are, and how far an interpolation of the others is from them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf4dvar.classical.fields.covariances import FieldCovariance
from tf4dvar.classical.fields.local_analysis import (
    Observations,
    blocks,
    interpolate,
    neighbours_of,
)
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream

# Days from which observations are withheld.
DAYS = 24


class Withheld(NamedTuple):
    """Observations of which some of one day are withheld.

    Attributes:
        observations: all, of a member.
        hidden: which are withheld.
        shape: of the maps, [time, y, x].
    """

    observations: Observations
    hidden: np.ndarray
    shape: tuple[int, ...]


class Case(NamedTuple):
    """A block of withheld observations, and its neighbours."""

    near: Observations
    withheld: Observations


def withhold(members: Sequence[Observations], shape: tuple[int, ...]) -> list[Withheld]:
    """Observations withheld as gaps are: of one day is kept what is observed on another day too.

    Args:
        members: observations of each.
        shape: of the maps, [time, y, x].

    Raises:
        InputError: all days observe the same points.
    """
    rng = random_stream("withheld observations")
    size = int(np.prod(shape[1:]))
    chosen = []
    for member in rng.permutation(np.arange(len(members)).repeat(-(-4 * DAYS // len(members)))):
        day, of = np.divmod(members[member].points, size)
        one, other = rng.choice(shape[0], 2, replace=False)
        hidden = (day == one) & ~np.isin(of, of[day == other])
        if hidden.any() and not hidden.all():
            chosen.append(Withheld(members[member], hidden, shape))
        if len(chosen) == DAYS:
            break
    if not chosen:
        raise InputError(
            "Received maps that all observe the same points: none can be withheld as gaps are. "
            "Give length, days, variance and noise_factor."
        )
    return chosen


def cases(
    covariance: FieldCovariance, withheld: Sequence[Withheld], neighbours: int, count: int
) -> list[Case]:
    """Some blocks of each day.

    Args:
        covariance: says what is near.
        withheld: observations.
        neighbours: at most so many observations.
        count: blocks of a day at most.
    """
    rng = random_stream("blocks of withheld observations")
    chosen = []
    for observations, hidden, shape in withheld:
        kept, others = observations.of(~hidden), observations.of(hidden)
        wanted = np.zeros(shape, bool)
        wanted.flat[others.points] = True
        groups = blocks(covariance, wanted, single_day=True)
        groups = [groups[number] for number in rng.permutation(len(groups))[:count]]
        near = neighbours_of(covariance, kept.points, groups, neighbours)
        for group, some in zip(groups, near, strict=True):
            at = np.searchsorted(others.points, group)
            chosen.append(Case(kept.of(some), others.of(at)))
    return chosen


def departures(covariance: FieldCovariance, noise_factor: float, of: Sequence[Case]) -> np.ndarray:
    """Of withheld observations error, stated variance of the field and noise variance, [3, n].

    Args:
        covariance: of the field.
        noise_factor: of the noise variances of the neighbours.
        of: withheld observations.
    """
    parts = []
    for near, withheld in of:
        near = near._replace(variance=noise_factor * near.variance)
        estimate, variance = interpolate(covariance, near, withheld.points)
        parts.append(np.stack([withheld.values - estimate, variance, withheld.variance]))
    return np.concatenate(parts, axis=1)
