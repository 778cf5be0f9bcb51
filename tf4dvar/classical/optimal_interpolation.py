"""Optimal interpolation in time and across components: the cheapest baseline."""

from dataclasses import dataclass

import numpy as np

from tf4dvar.classical.analysis import Analysis, Progress, in_chunks, windows_at_once
from tf4dvar.classical.method import Method, setting
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.stationarity import stationary
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream, sample_windows
from tf4dvar.systems.axes import axes_but


@dataclass(frozen=True)
class OptimalInterpolation(Method):
    """Optimal interpolation with a space-time covariance.

    The covariance is that of windows which the system simulates, or, where there is none, that of
    the observations; see `optimal_interpolation` and `stationary`.
    """

    name = "oi"
    needs_dynamics = False
    training_windows: int = setting(4000, "Random windows that give the covariance.", at_least=2)
    seed: int = setting(0, "Same seed, same states.", at_least=0)

    def solve(self, problem, progress):
        """See `Method.analyse`."""
        rng = random_stream("optimal interpolation", self.seed)
        # Without a system that can be simulated the observations themselves tell.
        if problem.system is None:
            states = stationary(problem).draw(self.training_windows, rng)
        else:
            states = sample_windows(problem.system, self.training_windows, problem.shape[1], rng)
        return optimal_interpolation(problem, states, progress)


def optimal_interpolation(
    problem: Problem,
    training_states: np.ndarray,
    progress: Progress = lambda done, total: None,
) -> Analysis:
    """The best linear estimate from the covariance of training windows (Gandin 1963).

        x = m + C H^T (H C H^T + R)^-1 (y - H m)

    with C the sample covariance of whole windows, between all times and components. It knows
    no dynamics but through C. Of an H that is not linear, it is the covariance of H(x).

    Args:
        problem: the windows; their flow may be None.
        training_states: [sample, time, component], windows of the same length.
        progress: called with the windows done and their number.

    Returns:
        Costs are (y - H m)^T (H C H^T + R)^-1 (y - H m), the minimum of the quadratic cost.
    """
    if training_states.shape[1:] != problem.shape[1:] or len(training_states) < 2:
        raise InputError(
            f"Received training states of shape {training_states.shape} for windows of shape "
            f"{problem.shape}; expected at least two windows of the same length."
        )
    mean, anomalies = _mean_and_anomalies(training_states)
    observed_mean, observed_anomalies = mean, anomalies
    simulated = problem.operator(training_states)
    if simulated is not training_states:
        observed_mean, observed_anomalies = _mean_and_anomalies(simulated)

    def analyse(part: Problem) -> Analysis:
        departures = part.values - observed_mean
        states, costs = np.empty(part.shape), np.empty(len(departures))
        for alike in part.alike():
            pattern = part.observed[alike[0]]
            times, entries = np.nonzero(pattern)
            at_observations = observed_anomalies[:, pattern.ravel()]
            errors = part.covariance(alike[0])[times[:, None], entries[:, None], entries]
            errors = errors * np.equal.outer(times, times)
            innovations = departures[alike][:, times, entries].T
            # Takes a window without observations too, which SciPy 1.11's Cholesky solver does not.
            weights = np.linalg.solve(at_observations.T @ at_observations + errors, innovations)
            increments = (at_observations @ weights).T @ anomalies
            states[alike] = mean + increments.reshape(-1, *states.shape[1:])
            costs[alike] = (innovations * weights).sum(axis=0)
        done = np.ones(len(states), int)
        return Analysis(states, costs, done, done.astype(bool))

    _, steps, components = problem.shape
    return in_chunks(analyse, problem, windows_at_once(steps * components), progress)


def _mean_and_anomalies(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of all times, and deviations scaled so that C is their product with themselves."""
    mean = windows.mean(axes_but(-1, windows))
    return mean, (windows - mean).reshape(len(windows), -1) / np.sqrt(len(windows))
