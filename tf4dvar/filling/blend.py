"""The blend of several analyses that is best at observations withheld from all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize
from scipy.special import stdtrit

from tf4dvar.classical.fields import FieldProblem
from tf4dvar.classical.fields.withheld import best_scale, shares

# By which the equation "their sum is 1" outweighs the others.
HEAVY = 1e6
# How sure it must be that others are better before the first method gives way: one is by chance in
# every second file, and a network that is then taken may be far worse in gaps.
SURE = 0.975
# Its error is not scaled to what was withheld from it, as that of methods is.
NETWORK = "network"


MapsAndErrors = tuple[np.ndarray, np.ndarray]
"""Maps and the standard deviations of their errors, each [member, time, y, x]."""


@dataclass(frozen=True)
class Blend:
    """A mean of maps.

    Attributes:
        weights: by method, above 0 and of the sum 1.
        scale: by which the mean of their stated variances is multiplied.
    """

    weights: dict[str, float]
    scale: float = 1.0

    @classmethod
    def chosen(
        cls, problem: FieldProblem, withheld: np.ndarray, maps: Mapping[str, MapsAndErrors]
    ) -> "Blend":
        """The best one. A single method scales its stated error itself.

        Withheld pixels count as many times as there are pixels in gaps of which the first method
        states as much: most of them are nearer to observations than most of a gap is. A method that
        is worse than the best takes no part, see `as_good`: what it adds where observations are
        near it would lack where none is. The first method fills alone unless it is as good as sure,
        by Student's test over days, that others are better.

        Args:
            problem: the maps, with what was withheld.
            withheld: where that is, [member, time, y, x].
            maps: without it, by method.
        """
        observed = problem.observations[withheld]
        errors = np.stack([observed - states[withheld] for states, _ in maps.values()])
        in_gaps = problem.grid.sea & ~problem.observed
        _, stated = next(iter(maps.values()))
        counts = shares(stated[withheld], stated[in_gaps])
        counts = np.ones(len(observed)) if counts is None else counts / counts.mean()
        member, day = np.nonzero(withheld)[:2]
        days = member * problem.observations.shape[1] + day
        weighted = np.sqrt(counts) * errors
        kept = as_good(weighted, days)
        found = np.zeros(len(errors))
        found[kept] = blend_weights(weighted[kept], days)
        if not _surely_better(weighted[0], found @ weighted, days):
            found = np.eye(len(errors))[0]
        blend = cls({name: float(of) for name, of in zip(maps, found, strict=True) if of > 0})
        if len(blend.weights) == 1 and NETWORK not in blend.weights:
            return blend
        variance = np.square(blend.of(maps)[1])
        of = np.stack([found @ errors, variance[withheld], problem.variance[withheld]])
        return replace(blend, scale=best_scale(of, shares(of[1], variance[in_gaps])))

    def of(self, maps: Mapping[str, MapsAndErrors]) -> MapsAndErrors:
        """The mean of maps and the standard deviation of its error.

        Args:
            maps: by method, those with a weight at least.
        """
        parts = [(weight, *maps[name]) for name, weight in self.weights.items()]
        states = sum(weight * of for weight, of, _ in parts)
        # The error of a mean is no larger, whatever the errors have in common.
        variance = sum(weight * np.square(spread) for weight, _, spread in parts)
        return np.asarray(states), np.sqrt(self.scale * np.asarray(variance))


def as_good(errors: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Which analyses are no worse than the best by more than the standard error of that over days.

    Args:
        errors, days: see `blend_weights`.

    Usage:

        from tf4dvar.filling.blend import as_good

        errors = np.random.default_rng(0).normal(size=(3, 400)) * [[1.0], [1.01], [2.0]]
        assert as_good(errors, np.arange(400) // 20).tolist() == [True, True, False]
    """
    squares = np.square(errors)
    excess = squares - squares[np.argmin(squares.mean(axis=1))]
    uncertainty = [standard_error(each, days) for each in excess]
    return excess.sum(axis=1) <= uncertainty


def blend_weights(errors: np.ndarray, days: np.ndarray) -> np.ndarray:
    """The weights of the smallest mean square of errors, at least 0 and of the sum 1.

    The best analysis has all the weight if the blend is not better than it by more than the
    standard error of that over days.

    Args:
        errors: of each analysis at withheld observations, [analysis, n].
        days: number of the day of each, [n]; errors of a day go together.

    Usage:

        from tf4dvar.filling.blend import blend_weights

        rng = np.random.default_rng(0)
        errors = rng.normal(size=(2, 10_000)) * [[1.0], [2.0]]
        weights = blend_weights(errors, np.arange(10_000) // 100)
        assert np.allclose(weights, [0.8, 0.2], atol=0.02)  # by the inverse of their variances
    """
    count, number = errors.shape
    triangle = np.linalg.qr(errors.T, mode="r") / np.sqrt(number)
    heavy = HEAVY * (np.abs(triangle).max() or 1.0)
    equations = np.vstack([triangle, np.full((1, count), heavy)])
    weights = optimize.nnls(equations, np.append(np.zeros(len(triangle)), heavy))[0]
    weights /= weights.sum()
    best = np.eye(count)[np.argmin(np.square(errors).mean(axis=1))]
    gains = np.square(best @ errors) - np.square(weights @ errors)
    return weights if gains.sum() > standard_error(gains, days) else best


def _surely_better(errors, others, days):
    gains, count = np.square(errors) - np.square(others), len(np.unique(days))
    if count < 2:
        return False
    factor = stdtrit(count - 1, SURE) * np.sqrt(count / (count - 1))
    return gains.sum() > factor * standard_error(gains, days)


def standard_error(values: np.ndarray, days: np.ndarray) -> float:
    """Of the sum of values, those of a day together.

    Args:
        values, days: [n], of each its day's number.
    """
    return float(np.linalg.norm(np.bincount(days, values - values.mean())))
