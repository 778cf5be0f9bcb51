"""Optimal interpolation from near observations: blocks of points that share theirs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.spatial import cKDTree

from tf4dvar.classical.fields.covariances import FieldCovariance
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream

# Points of a block at most.
BLOCK = 64
# Of the observations farther away one in so many is a neighbour.
THINNING = 16


class Observations(NamedTuple):
    """What is observed of the maps of a member.

    Attributes:
        points: indices into [time, y, x], see `FieldCovariance`.
        values: observed there.
        variance: of their errors.
    """

    points: np.ndarray
    values: np.ndarray
    variance: np.ndarray

    def of(self, chosen: np.ndarray) -> "Observations":
        """Some of them.

        Args:
            chosen: which, an index of arrays.
        """
        return Observations(*(each[chosen] for each in self))


def blocks(
    covariance: FieldCovariance, wanted: np.ndarray, single_day: bool = False
) -> list[np.ndarray]:
    """Points in groups that are near each other.

    Args:
        covariance: says what is near.
        wanted: [time, y, x], which points there have to be.
        single_day: whether points of two times are never together.
    """
    size = block_size(covariance, wanted.shape, single_day)
    points = np.flatnonzero(wanted)
    corner = np.stack(np.unravel_index(points, wanted.shape)) // np.array(size)[:, None]
    number = np.ravel_multi_index(tuple(corner), wanted.shape)
    order = np.argsort(number, kind="stable")
    return np.split(points[order], np.flatnonzero(np.diff(number[order])) + 1)


def block_size(
    covariance: FieldCovariance, shape: Sequence[int], single_day: bool = False
) -> list[int]:
    """Times, rows and columns of a block: its shortest side is doubled in turn.

    Args:
        covariance, single_day: see `blocks`.
        shape: of the maps, [time, y, x].
    """
    middle = np.array([max(length // 2 - 1, 0) for length in shape])

    def place(index):
        return covariance.coordinates(np.array([np.ravel_multi_index(tuple(index), tuple(shape))]))

    size, steps = [1, 1, 1], np.full(3, np.inf)
    for axis in range(single_day, 3):
        if shape[axis] > 1:
            after = middle + np.eye(3, dtype=int)[axis]
            steps[axis] = np.linalg.norm(place(after) - place(middle))
    while 2 * np.prod(size) <= BLOCK:
        size[int(np.argmin(size * steps))] *= 2
    return size


def neighbours_of(
    covariance: FieldCovariance,
    observed: np.ndarray,
    groups: Sequence[np.ndarray],
    count: int,
) -> Iterator[np.ndarray]:
    """For each block the observations from which it is interpolated, as indices into them.

    Half of them are the nearest to its middle, the others the nearest of one observation in
    `THINNING`, so that what is farther away, and the mean, are known too.

    Args:
        covariance: says what is near.
        observed: points.
        groups: blocks.
        count: at most so many observations.
    """
    everything = np.arange(len(observed))
    if count >= len(observed):
        yield from (everything for _ in groups)
        return
    rng = random_stream("thinned observations")
    thinned = np.sort(rng.choice(everything, max(len(observed) // THINNING, 1), replace=False))
    places = covariance.coordinates(observed)
    sets = [
        (everything, cKDTree(places), count - count // 2),
        (thinned, cKDTree(places[thinned]), count // 2),
    ]
    for start in range(0, len(groups), 1024):
        part = groups[start : start + 1024]
        middles = np.stack([covariance.coordinates(group).mean(0) for group in part])
        found = []
        for of, tree, number in sets:
            nearest = np.arange(1, min(number, len(of)) + 1)
            found.append(of[tree.query(middles, nearest)[1]])
        yield from map(np.unique, np.concatenate(found, axis=1))


def interpolate(
    covariance: FieldCovariance, near: Observations, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best linear unbiased estimate of points, and the variance of its error.

        x = m + C K^-1 (y - m),  K = C_yy + R,  m = (1^T K^-1 y) / (1^T K^-1 1)

    of an unknown mean m that is the same of all points and observations (ordinary kriging: Cressie
    1993, section 3.2). The variance is C_xx - C K^-1 C^T + (1 - C K^-1 1)^2 / (1^T K^-1 1).

    Args:
        covariance: C.
        near: observations y; their errors R do not covary.
        points: they.

    Raises:
        InputError: the matrix K is not positive definite in double precision.
    """
    size = len(near.points)
    both = covariance.between(near.points, np.concatenate([near.points, points]))
    matrix, cross = both[:, :size], both[:, size:]
    matrix[np.diag_indices_from(matrix)] += near.variance
    try:
        root = cholesky(matrix, lower=True, check_finite=False)
    except LinAlgError as error:
        raise InputError(
            f"The covariance of {size} observations is not positive definite: noise "
            f"variances from {near.variance.min():g} are too small beside the variance "
            f"{covariance.variance:g} of the field. Give larger ones or another covariance."
        ) from error
    columns = cross, np.ones(size), near.values
    whitened = solve_triangular(root, np.column_stack(columns), lower=True, check_finite=False)
    cross, ones, values = whitened[:, :-2], whitened[:, -2], whitened[:, -1]
    precision = ones @ ones
    mean = ones @ values / precision
    estimate = mean + cross.T @ (values - mean * ones)
    variance = covariance.variance - np.square(cross).sum(axis=0)
    return estimate, np.maximum(variance, 0) + np.square(1 - cross.T @ ones) / precision
