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
# As many known lags one after another without a correlation are the end of it.
SILENT = 5


class Stationary(NamedTuple):
    """Mean and covariances of states whose statistics do not change in time.

    Attributes:
        mean: [component], physical units.
        covariances: at the lags 0 ... steps, [lag, component, component]: C[lag, i, j] is that of
            component i with component j `lag` steps before.
        spectrum: their cross-spectral density, Hermitian and not negative, [frequency, component,
            component]: the Fourier transform over `2 * steps` lags.
        persistence_error: covariance of the error that persistence makes in one step, [component,
            component]: what changes from one observation to the next, over the steps between.
    """

    mean: np.ndarray
    covariances: np.ndarray
    spectrum: np.ndarray
    persistence_error: np.ndarray

    @property
    def background(self) -> Gaussian:
        """What is known of a state before any observation."""
        covariance = self.covariances[0]
        return Gaussian(self.mean, covariance + JITTER * np.diag(covariance.diagonal()))

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random windows, [window, time, component].

        Args:
            count: number of windows.
            rng: where they come from.
        """
        steps, components = len(self.covariances) - 1, len(self.mean)
        noise = np.fft.rfft(rng.normal(size=(count, 2 * steps, components)), axis=1)
        roots = _function_of(self.spectrum, lambda values: np.sqrt(np.maximum(values, 0.0)))
        windows = np.fft.irfft(np.einsum("fij,wfj->wfi", roots, noise), 2 * steps, axis=1)
        return self.mean + windows[:, :steps]


def stationary(problem: Problem) -> Stationary:
    """The statistics of the states from the observations of all windows and times.

    The covariance at a lag is the mean of the products of what was observed so far apart, without
    the noise; between lags at which nothing was, it is linear. Beyond the lags that are correlated
    it goes to zero (the flat-top window of Politis 2003, doi:10.1081/ETC-120017972). Of the
    spectral densities, some of which errors of sampling make negative, the nearest that are not are
    taken, of the same variance in all.

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
    count = observed.sum(axis=(0, 1))
    if not count.all():
        raise InputError(
            f"Component {count.argmin()} is never observed: only a system that can be simulated "
            "tells of it. Give the problem one, or the command --system."
        )
    mean = problem.values.sum(axis=(0, 1)) / count
    anomalies = np.where(observed, problem.values - mean, 0.0)
    noise = np.where(observed, problem.error_variance, 0.0).sum(axis=(0, 1)) / count
    covariances = _covariances(anomalies, observed, noise)
    variance = covariances[0].diagonal()
    steps = observed.shape[1]
    units = np.sqrt(variance)
    correlations = covariances / (units[:, None] * units)
    # Backwards in time it is the transpose.
    around = np.concatenate([correlations, correlations[-2:0:-1].swapaxes(1, 2)])
    spectrum = _function_of(np.fft.fft(around, axis=0), _not_negative)[: steps + 1]
    smooth = np.fft.irfft(spectrum, 2 * steps, axis=0)[: steps + 1]
    scale = np.sqrt(variance / smooth[0].diagonal())
    scaled = scale[:, None] * scale
    error = _persistence_error(anomalies, observed, noise, variance)
    return Stationary(mean, smooth * scaled, spectrum * scaled, error)


def _covariances(anomalies: np.ndarray, observed: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Mean products of anomalies, 0 where not observed, at the lags 0 ... steps, without noise."""
    lags = np.arange(anomalies.shape[1] + 1)
    pairs = np.round(_correlated(observed.astype(float)))
    means = _correlated(anomalies) / np.maximum(pairs, 1)
    known = np.flatnonzero(np.einsum("lii->li", pairs).all(axis=1))
    for i, j in np.argwhere((pairs == 0).any(axis=0)):
        there = np.flatnonzero(pairs[:, i, j])
        means[:, i, j] = np.interp(lags, there, means[there, i, j]) if there.size else 0.0
    means[0] = (means[0] + means[0].T) / 2
    np.fill_diagonal(means[0], _without(means[0].diagonal(), noise))
    last = _last_correlated(*(np.einsum("lii->li", each)[known] for each in (means, pairs)))
    return means * np.clip(2 - lags / known[last], 0.0, 1.0)[:, None, None]


def _last_correlated(covariances: np.ndarray, pairs: np.ndarray) -> int:
    """Which of the known lags is the last at which a component is correlated, 1 at least.

    Args:
        covariances: of every component with itself, [lag, component].
        pairs: of how many products they are means, same shape.
    """
    bound = 2 * np.sqrt(np.log10(np.maximum(pairs, 10)) / pairs) * covariances[0]
    heard = np.append((np.abs(covariances) > bound).any(axis=1), np.ones(SILENT, bool))
    silent = [not heard[lag : lag + SILENT].any() for lag in range(1, len(covariances))]
    last = silent.index(True) if True in silent else len(covariances) - 1
    return min(max(last, 1), len(covariances) - 1)


def _correlated(values: np.ndarray) -> np.ndarray:
    """Sums over windows and times of a_i(t + lag) a_j(t), [lag, i, j]."""
    steps = values.shape[1]
    transform = np.fft.rfft(values, 2 * steps + 1, axis=1)
    products = np.einsum("wfi,wfj->fij", transform, transform.conj())
    return np.fft.irfft(products, 2 * steps + 1, axis=0)[: steps + 1]


def _persistence_error(
    anomalies: np.ndarray, observed: np.ndarray, noise: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """What changes over about the distance of observations, without their noise, by its steps."""
    distance = 1 / observed.mean()
    pairs = sums = times = np.zeros((len(variance), len(variance)))
    for lag in range(max(1, round(distance / 2)), min(round(2 * distance) + 1, observed.shape[1])):
        both = (observed[:, lag:] & observed[:, :-lag]).astype(float)
        change = both * (anomalies[:, lag:] - anomalies[:, :-lag])
        count = np.einsum("wti,wtj->ij", both, both)
        sums = sums + np.einsum("wti,wtj->ij", change, change)
        pairs, times = pairs + count, times + lag * count
    if not pairs.diagonal().all():
        return np.diag(2 * variance)  # nothing is kept that long
    np.fill_diagonal(sums, _without(sums.diagonal(), 2 * noise * pairs.diagonal()))
    return _function_of(sums / np.maximum(times, 1), _not_negative)


def _without(variance: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A variance without that of the noise, of which more than there is would be a mistake."""
    return np.maximum(variance - noise, LEAST * np.maximum(variance, noise) + JITTER**2)


def _function_of(matrices: np.ndarray, function: Callable) -> np.ndarray:
    """A function of the eigenvalues of Hermitian matrices [..., row, column]."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * function(values)[..., None, :]) @ vectors.conj().swapaxes(-1, -2)


def _not_negative(values: np.ndarray) -> np.ndarray:
    """The nearest values that are not negative and have the same sum, which is positive."""
    falling = np.sort(values, axis=None)[::-1]
    above = (np.cumsum(falling) - values.sum()) / np.arange(1, falling.size + 1)
    return np.maximum(values - above[np.flatnonzero(falling > above)[-1]], 0.0)
