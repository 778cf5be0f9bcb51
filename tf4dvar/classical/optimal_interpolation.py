"""Optimal interpolation in time and across components: the cheapest baseline."""

import numpy as np

from tf4dvar.classical.analysis import Analysis, Progress, in_chunks, windows_at_once
from tf4dvar.classical.covariance import Covariance, covariance_matrix
from tf4dvar.errors import InputError


def optimal_interpolation(
    observations: np.ndarray,
    training_states: np.ndarray,
    observation_covariance: Covariance,
    progress: Progress | None = None,
) -> Analysis:
    """The best linear estimate from the covariance of training windows (Gandin 1963).

        x = m + C H^T (H C H^T + R)^-1 (y - H m)

    with C the sample covariance of whole windows, between all times and components. It knows
    no dynamics but through C.

    Args:
        observations: [window, time, component], physical units, NaN = not observed.
        training_states: [sample, time, component], windows of the same length.
        observation_covariance: R.
        progress: called with the windows done and their number.

    Returns:
        Costs are (y - H m)^T (H C H^T + R)^-1 (y - H m), the minimum of the quadratic cost.
    """
    if training_states.shape[1:] != observations.shape[1:] or len(training_states) < 2:
        raise InputError(
            f"Received training states of shape {training_states.shape} for observations of "
            f"shape {observations.shape}; expected at least two windows of the same length."
        )
    mean = training_states.mean(axis=(0, 1))
    # Anomalies scaled so that C is their product with themselves.
    anomalies = (training_states - mean).reshape(len(training_states), -1)
    anomalies /= np.sqrt(len(anomalies))
    covariance = covariance_matrix(observation_covariance, len(mean))
    observed = ~np.isnan(observations)
    departures = observations - mean

    def analyse(windows: slice) -> Analysis:
        chunk, seen = departures[windows], observed[windows]
        states, costs = np.empty(chunk.shape), np.empty(len(chunk))
        patterns, kind = np.unique(seen.reshape(len(seen), -1), axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            alike = np.flatnonzero(kind.ravel() == number)
            times, components = np.nonzero(pattern.reshape(seen.shape[1:]))
            at_observations = anomalies[:, pattern]
            errors = covariance[np.ix_(components, components)] * np.equal.outer(times, times)
            innovations = chunk[alike][:, times, components].T
            # Takes a window without observations too, which SciPy 1.11's Cholesky solver does not.
            weights = np.linalg.solve(at_observations.T @ at_observations + errors, innovations)
            increments = (at_observations @ weights).T @ anomalies
            states[alike] = mean + increments.reshape(-1, *chunk.shape[1:])
            costs[alike] = (innovations * weights).sum(axis=0)
        done = np.ones(len(chunk), int)
        return Analysis(states, costs, done, done.astype(bool))

    return in_chunks(analyse, observations, windows_at_once(observations[0].size), progress)
