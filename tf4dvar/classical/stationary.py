"""What observations alone tell of the states: mean and covariance, taken as those of all times."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tf4dvar.classical.covariance import Gaussian
from tf4dvar.classical.problem import Problem
from tf4dvar.errors import InputError

# Of the observed variance, what is left to the states where the noise seems to be all of it.
LEAST = 0.01
# Of a variance, what keeps a covariance from being singular.
JITTER = 1e-6


class Stationary(NamedTuple):
    """Mean and covariances of states whose statistics do not change in time.

    Attributes:
        mean: [component], physical units.
        spectrum: cross-spectral density, Hermitian and not negative, [frequency, component,
            component]: the Fourier transform of the covariances over `2 * steps` lags.
        covariances: at the lags 0 ... steps, [lag, component, component]: C[lag, i, j] is that of
            component i with component j `lag` steps before.
    """

    mean: np.ndarray
    spectrum: np.ndarray
    covariances: np.ndarray

    @property
    def background(self) -> Gaussian:
        """What is known of a state before any observation."""
        covariance = self.covariances[0]
        return Gaussian(self.mean, covariance + JITTER * np.diag(covariance.diagonal()))

    @property
    def persistence_error(self) -> np.ndarray:
        """Covariance of what changes in one step, the model error of persistence."""
        now, next_ = self.covariances[:2]
        return _not_negative(2 * now - next_ - next_.T)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random windows, [window, time, component].

        Args:
            count: number of windows.
            rng: where they come from.
        """
        steps, components = len(self.covariances) - 1, len(self.mean)
        roots = _function_of(self.spectrum, np.sqrt)
        shape = (count, 2 * steps, components)
        noise = np.fft.rfft(rng.normal(size=shape), axis=1)
        windows = np.fft.irfft(np.einsum("fij,wfj->wfi", roots, noise), 2 * steps, axis=1)
        return self.mean + windows[:, :steps]


def stationary(problem: Problem) -> Stationary:
    """The statistics of the states from the observations of all windows and times.

    The covariance at a lag is the mean of the products of what was observed so far apart, without
    the noise; between lags at which nothing was, it is linear. It falls to zero at the length of a
    window, and negative spectral densities, which errors of sampling make, are set to zero.

    Args:
        problem: the windows, in which every component is observed.

    Raises:
        InputError: one is not, or something else than the state itself is observed.
    """
    if problem.observation_operator is not None:
        raise InputError(
            "Received an observation operator and no dynamics: observations alone do not tell the "
            "covariance of the states. Give the problem a system."
        )
    observed = problem.observed
    never = np.flatnonzero(~observed.any(axis=(0, 1)))
    if never.size:
        raise InputError(
            f"Component {never[0]} is never observed: only a system that can be simulated tells of "
            "it. Give the problem one, or the command --system."
        )
    count = observed.sum(axis=(0, 1))
    mean = problem.values.sum(axis=(0, 1)) / count
    anomalies = np.where(observed, problem.values - mean, 0.0)
    covariances = _covariances(anomalies, observed.astype(float))
    covariances[0] = (covariances[0] + covariances[0].T) / 2
    noise = np.where(observed, problem.error_variance, 0.0).sum(axis=(0, 1)) / count
    raw = covariances[0].diagonal()
    # More noise than there is variance is a mistake of the noise.
    least = LEAST * np.maximum(raw, noise) + np.finfo(float).eps * mean**2
    variance = np.maximum(raw - noise, least)
    np.fill_diagonal(covariances[0], variance)
    steps = observed.shape[1]
    covariances *= np.cos(np.pi / 2 * np.arange(steps + 1) / steps)[:, None, None] ** 2
    # Backwards in time it is the transpose.
    around = np.concatenate([covariances, covariances[-2:0:-1].swapaxes(1, 2)])
    spectrum = _not_negative(np.fft.rfft(around, axis=0))
    # What was negative is missing now from the variance, or rather too much of the rest is there.
    smooth = np.fft.irfft(spectrum, 2 * steps, axis=0)
    scale = np.sqrt(variance / np.maximum(smooth[0].diagonal(), np.finfo(float).tiny))
    scaled = scale[:, None] * scale
    return Stationary(mean, spectrum * scaled, smooth[: steps + 1] * scaled)


def _covariances(anomalies: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Mean products of anomalies, 0 where not observed, at the lags 0 ... steps."""
    steps = anomalies.shape[1]
    products, pairs = (_correlated(each) for each in (anomalies, observed))
    pairs = np.round(pairs)
    means = products / np.maximum(pairs, 1)
    lags = np.arange(steps + 1)
    for i, j in np.argwhere((pairs == 0).any(axis=0)):
        known = np.flatnonzero(pairs[:, i, j])
        means[:, i, j] = np.interp(lags, known, means[known, i, j]) if known.size else 0.0
    return means


def _correlated(values: np.ndarray) -> np.ndarray:
    """Sums over windows and times of a_i(t + lag) a_j(t), [lag, i, j]."""
    steps = values.shape[1]
    transform = np.fft.rfft(values, 2 * steps + 1, axis=1)
    products = np.einsum("wfi,wfj->fij", transform, transform.conj())
    return np.fft.irfft(products, 2 * steps + 1, axis=0)[: steps + 1]


def _not_negative(matrices: np.ndarray) -> np.ndarray:
    """The nearest Hermitian matrices [..., row, column] without negative eigenvalues."""
    return _function_of(matrices, lambda values: values)


def _function_of(matrices: np.ndarray, function: Callable) -> np.ndarray:
    """A function of Hermitian matrices by their eigenvalues, negative ones taken as zero."""
    values, vectors = np.linalg.eigh(matrices)
    values = function(np.maximum(values, 0.0))
    return (vectors * values[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
