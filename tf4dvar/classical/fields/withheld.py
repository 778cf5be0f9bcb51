"""Observations withheld as gaps are: the errors of maps there, and the scale of stated ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from tf4dvar.classical.fields.covariances import FieldCovariance
from tf4dvar.classical.fields.local_analysis import (
    Observations,
    blocks,
    interpolate,
    neighbours_of,
)
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream

# How often observations are withheld.
TIMES = 24
# Where days see too little alike, those of one in so many are withheld.
FEW = 8
# Classes of stated errors.
CLASSES = 10


class Withheld(NamedTuple):
    """Observations of which some are withheld.

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
    """Observations withheld as gaps are, see `in_gaps`, again and again.

    Args:
        members: observations of each.
        shape: of the maps, [time, y, x].

    Raises:
        InputError: all days observe the same points.
    """
    rng = random_stream("withheld observations")
    chosen = []
    for member in rng.permutation(np.arange(len(members)).repeat(-(-4 * TIMES // len(members)))):
        points = members[member].points
        observed = np.zeros(shape, bool)
        observed.flat[points] = True
        hidden = in_gaps(observed, rng).flat[points]
        if hidden.any() and not hidden.all():
            chosen.append(Withheld(members[member], hidden, shape))
        if len(chosen) == TIMES:
            break
    if not chosen:
        raise InputError(
            "Received maps that all observe the same points: none can be withheld as gaps are. "
            "Give a kernel, length, days, variance and noise_factor."
        )
    return chosen


def in_gaps(observed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Observations that are hidden as gaps hide, as `observed`; none where nothing can be.

    Of all days those in the gaps of another day, see `pasted`; as gaps persist, so do these. Where
    days see too little in common, as tracks do, of a few days what another does not observe.

    Args:
        observed: where there are any, [time, ...].
        rng: draws the days.
    """
    covered = pasted(observed, 1.0, rng)
    if not covered.any():
        days = len(observed)
        for day in rng.permutation(days)[: max(days // FEW, 1)]:
            covered[day] = observed[day] & ~observed[rng.choice(days)]
    return covered


def pasted(observed: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Observations in the gaps of other days, as `observed`; none where days see too little alike.

    A day is covered with the gaps of another one drawn by chance, as in DINEOF's tools (Beckers et
    al. 2006, doi:10.5194/os-2-183-2006), if it keeps as many observations as the day of fewest.

    Args:
        observed: where there are any, [time, ...].
        share: of the observations, at which no further day is covered.
        rng: draws the days.
    """
    covered = np.zeros_like(observed)
    numbers = observed.reshape(len(observed), -1).sum(axis=1)
    days = np.flatnonzero(numbers)
    for day in rng.permutation(days):
        if covered.sum() >= share * numbers.sum():
            break
        kept = observed[day] & observed[rng.choice(days)]
        if kept.sum() >= numbers[days].min():
            covered[day] = observed[day] & ~kept
    return covered


def cases(
    covariance: FieldCovariance, withheld: Sequence[Withheld], neighbours: int, count: int
) -> list[Case]:
    """Some blocks each time that observations are withheld.

    Args:
        covariance: says what is near.
        withheld: observations.
        neighbours: at most so many observations.
        count: blocks each time, at most.
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


def cost(of: np.ndarray, scale: float = 1.0, shares: np.ndarray | None = None) -> float:
    """Twice the negative logarithm of the likelihood of withheld observations, of one of them.

    Args:
        of: error, stated variance of the field and noise variance, [3, n].
        scale: by which the stated variance of the field is multiplied.
        shares: what each counts; None where all count the same.
    """
    total = scale * of[1] + of[2]
    return float(np.average(np.log(total) + np.square(of[0]) / total, weights=shares))


def best_scale(of: np.ndarray, shares: np.ndarray | None = None, least: float = 0.0) -> float:
    """The scale of smallest cost.

    Args:
        of, shares: as for `cost`.
        least: no scale is smaller.
    """
    found = optimize.minimize_scalar(
        lambda logarithm: cost(of, np.exp(logarithm), shares), bounds=(-6, 6), method="bounded"
    )
    return max(float(np.exp(found.x)), least)


def shares(stated: np.ndarray, in_gaps: np.ndarray) -> np.ndarray | None:
    """What withheld observations count, so that their stated variances are those in gaps.

    Most of what can be withheld is nearer to observations than most of a gap is. Each of some
    classes of equally many counts as often as there are gaps of such a variance (importance
    weights: Shimodaira 2000, doi:10.1016/S0378-3758(00)00115-4).

    Args:
        stated: variances at withheld observations.
        in_gaps: those in gaps. Where there are none all count the same: None.
    """
    if not in_gaps.size:
        return None
    edges = np.unique(np.quantile(stated, np.arange(1, CLASSES) / CLASSES))
    withheld, gaps = (np.searchsorted(edges, each) for each in (stated, in_gaps))
    number, wanted = (np.bincount(each, minlength=len(edges) + 1) for each in (withheld, gaps))
    of_class = np.divide(wanted, number, out=np.zeros(len(number)), where=number > 0)
    return of_class[withheld] if of_class.any() else None
