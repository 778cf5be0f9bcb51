"""The three scores of Tables 1 and 2, in physical units, and one of a mean and its spread.

- R-score: mean squared error of the reconstruction.
- 4DVar-score: variational cost of the reconstruction under the true dynamics, with
  lambda_1 = 0.01 for the mean over the observed entries and lambda_2 = 1 for the mean over all.
- ODE-score: mean squared error of Phi on true states: of a flow's one-step forecast, of a GENN's
  estimate of a state from those before and after.

Each function gives one number a window, so that a standard error can be taken.
"""

from collections.abc import Callable

import numpy as np
from scipy import special

from tf4dvar.classical.weighted_method import OBSERVATION_WEIGHT, PRIOR_WEIGHT
from tf4dvar.systems.axes import axes_but


def r_score(state: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean squared error of every window; NaN where nothing of its truth is known.

    Args:
        state, truth: [window, time, component], physical units; an entry of `truth` that is
            NaN does not count.
    """
    return mean_where_known(np.square(state - truth), truth, kept=0)


def mean_where_known(errors: np.ndarray, truth: np.ndarray, kept: int) -> np.ndarray:
    """Mean of the errors where the truth is known; that of a NaN state is NaN.

    Args:
        errors, truth: [window, time, component].
        kept: the axis of which every entry has a mean, NaN where nothing is known.
    """
    return _mean_where(errors, ~np.isnan(truth), kept)


def mean_of_known(means: np.ndarray) -> float:
    """The mean of means, without those of which nothing is known; NaN if that are all.

    Args:
        means: any shape, NaN where nothing is known.
    """
    known = means[~np.isnan(means)]
    return float(known.mean()) if known.size else float("nan")


def _mean_where(errors: np.ndarray, known: np.ndarray, kept: int) -> np.ndarray:
    others = axes_but(kept, errors)
    total, count = errors.sum(others, where=known), known.sum(others)
    return np.where(count, total / np.maximum(count, 1), np.nan)


def fourdvar_score(
    state: np.ndarray,
    observations: np.ndarray,
    forecast: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Variational cost of every window under the true dynamics (eq. 4, its terms averaged).

    Args:
        state: [window, time, component].
        observations: same shape, NaN = not observed.
        forecast: the true state one step later of each state.
    """
    within = axes_but(0, state)
    observed = ~np.isnan(observations)
    misfit = np.where(observed, state - np.where(observed, observations, 0.0), 0.0)
    observation_term = np.square(misfit).sum(within) / np.maximum(observed.sum(within), 1)
    residual = state[:, 1:] - forecast(state[:, :-1])
    # Over all entries: the residual of the first time is zero, as a flow's is.
    prior_term = np.square(residual).sum(within) / state[0].size
    return OBSERVATION_WEIGHT * observation_term + PRIOR_WEIGHT * prior_term


def ode_score(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Mean squared error of the prior's prediction Phi(truth), first time left out.

    Args:
        truth, prediction: [window, time, component], physical units. Where the truth is NaN, and
            where that has made the prediction NaN, nothing is known.
    """
    gaps = np.isnan(truth)
    unknown = gaps | (np.isnan(prediction) & gaps.any(axes_but(0, truth), keepdims=True))
    return _mean_where(np.square(prediction - truth)[:, 1:], ~unknown[:, 1:], kept=0)


def gaussian_crps(error: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of normal distributions (Gneiting et al. 2005, eq. 5).

    Args:
        error: of their means, any shape.
        spread: their standard deviations, the same shape.

    Returns:
        The same shape, in the units of the error; smaller is better.
    """
    scaled = error / spread
    density, cumulative = np.exp(-(scaled**2) / 2) / np.sqrt(2 * np.pi), special.ndtr(scaled)
    return spread * (scaled * (2 * cumulative - 1) + 2 * density - 1 / np.sqrt(np.pi))
