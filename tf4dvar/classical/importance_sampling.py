"""The Bayes limit: what the observations allow any method to reach."""

import logging
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tf4dvar.classical.analysis import Progress
from tf4dvar.data import check_observations
from tf4dvar.systems import System, random_stream, rk4_step, sample_windows

logger = logging.getLogger(__name__)

TRAJECTORIES, BLOCK_STEPS = 500, 400
SPIN_UP_STEPS = 5000
GATHERED = 10_000
# A sample this much less likely than the best one has no weight: exp(-25) = 1e-11.
NEGLIGIBLE = 25.0
# The mean over n independent samples has 1/n of the posterior variance as its own error.
SMALL_SAMPLE = 30


class Posterior(NamedTuple):
    """Posterior of the state given all observations of its window.

    Attributes:
        mean: [window, time, component]: no estimate has a smaller expected squared error.
        variance: same shape, squared units.
        effective_sample_size: Kish's, [window]; the sample is too small to trust below
            `SMALL_SAMPLE`.
    """

    mean: np.ndarray
    variance: np.ndarray
    effective_sample_size: np.ndarray


def bayes_limit(
    observations: np.ndarray,
    system: System,
    noise_variance: float,
    samples: int = 10_000_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Posterior:
    """Posterior mean and variance by importance sampling over free trajectories.

    Every segment of long trajectories on the attractor is a sample of the prior; its weight is
    the likelihood of the window's observations. Right for systems of few components only: the
    number of samples that fit falls exponentially with the dimension.

    Args:
        observations: [window, time, component], physical units, NaN = not observed.
        system: the dynamical system; windows are assumed to come from its attractor.
        noise_variance: of the Gaussian errors of the observations.
        samples: number of segments, rounded up to full blocks.
        seed: of the trajectories.
        progress: called with the blocks done and their number.
    """
    check_observations(observations, components=len(system.components))
    steps = observations.shape[1]
    rng = random_stream("free trajectories", seed)
    state = sample_windows(system, TRAJECTORIES, 2, rng)[:, -1]
    for _ in range(SPIN_UP_STEPS):
        state = rk4_step(system, state)
    observed = ~np.isnan(observations)
    patterns, kind = np.unique(observed.reshape(len(observed), -1), axis=0, return_inverse=True)
    sums = [_WeightedSums(observations[0].shape) for _ in observations]
    blocks = -(-samples // (TRAJECTORIES * BLOCK_STEPS))
    free = np.empty((TRAJECTORIES, steps - 1 + BLOCK_STEPS, len(system.components)))
    for block in range(blocks):
        # The last steps of a block begin the next one: no segment is simulated twice.
        kept = steps - 1 if block else 0
        free[:, :kept] = free[:, BLOCK_STEPS:].copy()[:, :kept]
        for time in range(kept, free.shape[1]):
            free[:, time] = state
            state = rk4_step(system, state)
        segments = sliding_window_view(free, steps, axis=1)
        for number, pattern in enumerate(patterns):
            times, components = np.nonzero(pattern.reshape(steps, -1))
            predicted = _predictions(free, times, components)
            norms = np.square(predicted).sum(axis=0) / 2
            for window in np.flatnonzero(kind.ravel() == number):
                values = observations[window, times, components].astype(predicted.dtype)
                likelihoods = (values @ predicted - norms) / noise_variance
                sums[window].add(likelihoods, segments)
        if progress is not None:
            progress(block + 1, blocks)
    moments = zip(*(each.moments() for each in sums), strict=True)
    posterior = Posterior(*map(np.stack, moments))
    few = np.flatnonzero(posterior.effective_sample_size < SMALL_SAMPLE)
    if len(few):
        logger.warning(
            "%d of %d windows have an effective sample size below %d, the first of them number "
            "%d: take more samples.",
            len(few),
            len(sums),
            SMALL_SAMPLE,
            few[0],
        )
    return posterior


def _predictions(free: np.ndarray, times: np.ndarray, components: np.ndarray) -> np.ndarray:
    """The observed entries of every segment, [entry, trajectory x start], single precision."""
    predicted = np.empty((len(times), TRAJECTORIES, BLOCK_STEPS), np.float32)
    for row, time, component in zip(predicted, times, components, strict=True):
        row[:] = free[:, time : time + BLOCK_STEPS, component]
    return predicted.reshape(len(times), TRAJECTORIES * BLOCK_STEPS)


class _WeightedSums:
    """Sums over samples with weights exp(log-likelihood - best), the best so far."""

    def __init__(self, shape: tuple[int, ...]):
        self.best = -np.inf
        self.weight = self.squared_weight = 0.0
        self.first, self.second = np.zeros(shape), np.zeros(shape)

    def add(self, likelihoods: np.ndarray, segments: np.ndarray) -> None:
        """Add segments [trajectory, start, component, time] of these log-likelihoods."""
        best = max(self.best, float(likelihoods.max()))
        shrink = np.exp(self.best - best)
        self.best = best
        self.weight *= shrink
        self.squared_weight *= shrink**2
        self.first *= shrink
        self.second *= shrink
        index = np.flatnonzero(likelihoods > best - NEGLIGIBLE)
        # Where little is observed nearly all segments count: not all copied at once.
        for part in np.array_split(index, 1 + index.size // GATHERED):
            weights = np.exp(likelihoods[part].astype(float) - best)
            states = segments[np.unravel_index(part, segments.shape[:2])].swapaxes(1, 2)
            self.weight += weights.sum()
            self.squared_weight += np.square(weights).sum()
            self.first += np.tensordot(weights, states, 1)
            self.second += np.tensordot(weights, np.square(states), 1)

    def moments(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean, variance, effective sample size."""
        mean = self.first / self.weight
        variance = np.maximum(self.second / self.weight - np.square(mean), 0.0)
        return mean, variance, self.weight**2 / self.squared_weight
