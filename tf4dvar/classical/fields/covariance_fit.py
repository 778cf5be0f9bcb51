"""Parameters of a covariance and of the noise, fitted to withheld observations."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from tf4dvar.classical.fields.covariances import FieldCovariance
from tf4dvar.classical.fields.withheld import Withheld, cases, departures
from tf4dvar.errors import InputError

# Blocks of each day from which observations are withheld; more of them for the scale.
BLOCKS, BLOCKS_OF_SCALE = 8, 24
# Neighbours while parameters are searched, at most.
NEIGHBOURS = 100
# Neighbours are chosen anew so many times, and in between a minimisation has so many steps.
ROUNDS, STEPS = 2, 40


class Parameters(NamedTuple):
    """What is fitted.

    Attributes:
        length: km.
        days: as a length is to space.
        variance: of the field.
        noise_factor: by which the variances of the observations' errors are multiplied.
    """

    length: float
    days: float
    variance: float
    noise_factor: float

    def scaled(self, scale: float) -> "Parameters":
        """With the variance of the field and the noise multiplied.

        Args:
            scale: by this.
        """
        return self._replace(variance=scale * self.variance, noise_factor=scale * self.noise_factor)


def cost(of: np.ndarray, scale: float = 1.0) -> float:
    """Twice the negative logarithm of the likelihood of withheld observations, of one of them.

    Args:
        of: `departures`.
        scale: by which the stated variance of the field is multiplied.
    """
    total = scale * of[1] + of[2]
    return float(np.mean(np.log(total) + np.square(of[0]) / total))


def best_scale(of: np.ndarray) -> float:
    """The scale of smallest cost.

    Args:
        of: `departures`.
    """
    found = optimize.minimize_scalar(
        lambda logarithm: cost(of, np.exp(logarithm)), bounds=(-6, 6), method="bounded"
    )
    return float(np.exp(found.x))


def fitted(
    guess: Parameters,
    limit: Parameters,
    covariance_of: Callable[[Parameters], FieldCovariance],
    free: Sequence[str],
    withheld: Sequence[Withheld],
    neighbours: int,
) -> Parameters:
    """Parameters under which withheld observations are most likely.

    The estimate does not change if the variance of the field and the noise factor are multiplied
    by the same number, and its stated variance is multiplied by it. Where both are free that
    number is found by itself, with all neighbours.

    Args:
        guess: of the parameters.
        limit: up to which they are searched.
        covariance_of: makes a covariance of them.
        free: names of those to fit; the others are as in the guess.
        withheld: observations.
        neighbours: at most so many observations for each block.
    """
    scaled = {"variance", "noise_factor"} <= set(free)
    searched = [name for name in free if not (scaled and name == "variance")]
    best = guess
    for _ in range(ROUNDS if searched else 0):
        sample = cases(covariance_of(best), withheld, min(neighbours, NEIGHBOURS), BLOCKS)
        best = _searched(best, limit, covariance_of, searched, sample, scaled)
    if scaled:
        covariance = covariance_of(best)
        sample = cases(covariance, withheld, neighbours, BLOCKS_OF_SCALE)
        best = best.scaled(best_scale(departures(covariance, best.noise_factor, sample)))
    return best


def _searched(best, limit, covariance_of, searched, sample, scaled):
    """The simplex search of one round."""

    def changed(logarithms):
        factors = dict(zip(searched, np.exp(logarithms), strict=True))
        return best._replace(**{k: getattr(best, k) * float(v) for k, v in factors.items()})

    def cost_of(logarithms):
        parameters = changed(logarithms)
        try:
            found = departures(covariance_of(parameters), parameters.noise_factor, sample)
        except InputError:
            # Not positive definite in double precision: no candidate.
            return np.finfo(float).max
        return cost(found, best_scale(found) if scaled else 1.0)

    simplex = np.concatenate([np.zeros((1, len(searched))), -0.5 * np.eye(len(searched))])
    options = {"initial_simplex": simplex, "maxfev": STEPS, "xatol": 0.02, "fatol": 1e-3}
    upper = [max(np.log(getattr(limit, k) / getattr(best, k)), 0.0) for k in searched]
    bounds = optimize.Bounds(-np.inf, upper)
    found = optimize.minimize(
        cost_of, simplex[0], method="Nelder-Mead", bounds=bounds, options=options
    )
    return changed(found.x)
