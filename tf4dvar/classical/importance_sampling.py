"""The Bayes limit: what the observations allow any method to reach."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tf4dvar.classical.analysis import Analysis
from tf4dvar.classical.method import Method, setting
from tf4dvar.classical.problem import Problem
from tf4dvar.errors import InputError
from tf4dvar.systems import System, random_stream, sample_windows

TRAJECTORIES, BLOCK_STEPS = 500, 400
SPIN_UP_STEPS = 5000
GATHERED = 10_000
# A sample this much less likely than the best one has no weight: exp(-25) = 1e-11.
NEGLIGIBLE = 25.0
# The mean over n independent samples has 1/n of the posterior variance as its own error.
SMALL_SAMPLE = 30
# The number of samples that fit falls exponentially with the dimension.
MOST_COMPONENTS = 10


@dataclass(frozen=True)
class ImportanceSampling(Method):
    """The Bayes limit: posterior mean and spread by importance sampling.

    Every segment of long free trajectories of the system, on its attractor, is a sample of the
    prior; its weight is the likelihood of the window's observations. No estimate has a smaller
    expected squared error than the mean, and the squared spread is that error.

    Costs are -2 log of the mean likelihood, without its constant factor. A window has converged
    if its effective sample size is `SMALL_SAMPLE` or more; iterations count the blocks of samples.

    Draws are of the samples by their weights, independent of each other: whole trajectories that
    may have been. Where the effective sample size is small they are the same few.
    """

    name = "importance-sampling"
    failure = (f"have an effective sample size below {SMALL_SAMPLE}", "take more samples")
    samples: int = setting(10_000_000, "Free trajectories to weigh.", at_least=1)
    seed: int = setting(0, "Same seed, same states.", at_least=0)
    draws: int = setting(0, "Trajectories to draw from the posterior of each window.", at_least=0)

    def solve(self, problem, progress):
        """See `Method.analyse`."""
        started = time.perf_counter()
        system, (count, steps, components) = problem.required_system(), problem.shape
        if components > MOST_COMPONENTS:
            raise InputError(
                f"Received states of {components} components; importance sampling over free "
                f"trajectories is hopeless with more than {MOST_COMPONENTS}."
            )
        kinds = [(alike, _Whitened(problem, alike)) for alike in problem.alike()]
        sums = [
            _WeightedSums((steps, components), self.draws, random_stream("draws", self.seed, each))
            for each in range(count)
        ]
        blocks = -(-self.samples // (TRAJECTORIES * BLOCK_STEPS))
        for block, free in enumerate(_free_trajectories(system, steps, blocks, self.seed), start=1):
            segments = sliding_window_view(free, steps, axis=1)
            simulated = problem.operator(free)
            for alike, whitened in kinds:
                predicted = whitened.predictions(simulated)
                norms = np.square(predicted).sum(axis=0) / 2
                for window, values in zip(alike, whitened.values, strict=True):
                    sums[window].add(values.astype(predicted.dtype) @ predicted - norms, segments)
            progress(block, blocks)
        mean, variance, sizes, likelihoods = (
            np.stack(each) for each in zip(*(each.moments() for each in sums), strict=True)
        )
        squares = np.empty(count)
        for alike, whitened in kinds:
            squares[alike] = np.square(whitened.values).sum(axis=1)
        return Analysis(
            mean,
            squares - 2 * (likelihoods - np.log(blocks * TRAJECTORIES * BLOCK_STEPS)),
            np.full(count, blocks),
            sizes >= SMALL_SAMPLE,
            np.sqrt(variance),
            sizes,
            np.stack([each.draws for each in sums]) if self.draws else None,
            seconds_per_window=(time.perf_counter() - started) / count,
        )


def _free_trajectories(system: System, steps: int, blocks: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of long trajectories, [trajectory, time, component], in whose segments to sample."""
    rng = random_stream("free trajectories", seed)
    state = sample_windows(system, TRAJECTORIES, 2, rng)[:, -1]
    for _ in range(SPIN_UP_STEPS):
        state = system.step(state)
    free = np.empty((TRAJECTORIES, steps - 1 + BLOCK_STEPS, len(system.components)))
    for block in range(blocks):
        # The last steps of a block begin the next one: no segment is simulated twice.
        kept = steps - 1 if block else 0
        free[:, :kept] = free[:, BLOCK_STEPS:].copy()[:, :kept]
        for step in range(kept, free.shape[1]):
            free[:, step] = state
            state = system.step(state)
        yield free


class _Whitened:
    """The observations of windows alike, in units in which their errors are independent, of 1.

    Attributes:
        values: [window, entry].
    """

    def __init__(self, problem: Problem, alike: np.ndarray):
        pattern = problem.observed[alike[0]]
        precision = problem.part(alike[:1]).precision()[0]
        self._roots = []
        for step in np.flatnonzero(pattern.any(axis=1)):
            entries = np.flatnonzero(pattern[step])
            root = np.linalg.cholesky(precision[step][np.ix_(entries, entries)]).T
            self._roots.append((step, entries, root))
        values = [problem.values[alike, step][:, seen] @ root.T for step, seen, root in self._roots]
        self.values = np.concatenate([np.empty((len(alike), 0)), *values], axis=1)

    def predictions(self, simulated: np.ndarray) -> np.ndarray:
        """The same of every segment, [entry, trajectory x start], single precision.

        Args:
            simulated: what is observed of free trajectories, [trajectory, time, observed].
        """
        predicted = np.empty((self.values.shape[1], TRAJECTORIES * BLOCK_STEPS), np.float32)
        done = 0
        for step, entries, root in self._roots:
            shown = simulated[:, step : step + BLOCK_STEPS, entries]
            predicted[done : done + len(entries)] = root @ shown.reshape(-1, len(entries)).T
            done += len(entries)
        return predicted


class _WeightedSums:
    """Sums over samples with weights exp(log-likelihood - best), the best so far."""

    def __init__(self, shape: tuple[int, ...], draws: int, rng: np.random.Generator):
        self.draws, self._rng = np.zeros((draws, *shape), np.float32), rng
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
        if not index.size:
            return
        # Where little is observed nearly all segments count: not all copied at once.
        for part in np.array_split(index, 1 + index.size // GATHERED):
            weights = np.exp(likelihoods[part].astype(float) - best)
            states = segments[np.unravel_index(part, segments.shape[:2])].swapaxes(1, 2)
            self.weight += weights.sum()
            self._draw(weights, states)
            self.squared_weight += np.square(weights).sum()
            self.first += np.tensordot(weights, states, 1)
            self.second += np.tensordot(weights, np.square(states), 1)

    def _draw(self, weights, states):
        """Of all samples so far: each draw is one of the new ones as often as they weigh."""
        new = weights.sum()
        slots = np.flatnonzero(self._rng.random(len(self.draws)) < new / self.weight)
        self.draws[slots] = states[self._rng.choice(len(states), slots.size, p=weights / new)]

    def moments(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Mean, variance, effective sample size, and the logarithm of the sum of likelihoods."""
        mean = self.first / self.weight
        variance = np.maximum(self.second / self.weight - np.square(mean), 0.0)
        size = self.weight**2 / self.squared_weight
        return mean, variance, size, self.best + np.log(self.weight)
