"""Exact posteriors of linear dynamics by dense matrices, the reference for every H, R, Q and B."""

import numpy as np


def strong_posterior(problem, window, step):
    """Mean [time, component], variances and minimum of the strong-constraint cost.

    Args:
        problem: of a linear H, with a background.
        window: its number.
        step: the matrix of one step of the perfect dynamics.
    """
    mean, covariance = problem.background
    whole = propagators(problem, step)
    design, values, errors = observed(problem, window)
    precision = np.linalg.inv(covariance) + (design @ whole).T @ (design @ whole / errors[:, None])
    innovation = values - design @ whole @ mean
    posterior = np.linalg.inv(precision)
    initial = mean + posterior @ (design @ whole).T @ (innovation / errors)
    misfit = design @ whole @ initial - values
    departure = initial - mean
    cost = misfit @ (misfit / errors) + departure @ np.linalg.solve(covariance, departure)
    variances = np.diag(whole @ posterior @ whole.T)
    return (whole @ initial).reshape(-1, len(step)), variances.reshape(-1, len(step)), cost


def evidence_volume(problem, window, step):
    """log det of the observations' covariance over that of their errors."""
    design, _, errors = observed(problem, window)
    spread = design @ propagators(problem, step) / np.sqrt(errors)[:, None]
    return np.linalg.slogdet(np.eye(len(errors)) + spread @ problem.background[1] @ spread.T)[1]


def propagators(problem, step):
    """From the first state to all, [time x component, component]."""
    powers = [np.eye(len(step))]
    for _ in range(problem.shape[1] - 1):
        powers.append(step @ powers[-1])
    return np.concatenate(powers)


def weak_minimum(problem, window, step, model_precision, weights=None, background=True):
    """Minimum over all states of the weak-constraint cost.

    Args:
        problem, window, step: as for `strong_posterior`.
        model_precision: of every component of the model's error.
        weights: of the observed entries, in place of 1 / R.
        background: whether it counts.
    """
    steps, n = problem.shape[1:]
    design, values, errors = observed(problem, window)
    weights = 1 / errors if weights is None else weights
    residual = np.eye(steps * n)[n:] - np.kron(np.eye(steps)[:-1], step)
    hessian = design.T @ (weights[:, None] * design) + model_precision * residual.T @ residual
    right = design.T @ (weights * values)
    if background:
        mean, covariance = problem.background
        hessian[:n, :n] += np.linalg.inv(covariance)
        right[:n] += np.linalg.solve(covariance, mean)
    return np.linalg.solve(hessian, right).reshape(steps, n)


def averaged_minimum(problem, window, step, observation_weight=0.01, prior_weight=1.0):
    """The minimum of eq. 4 with averaged terms."""
    _, _, errors = observed(problem, window)
    weights = observation_weight / errors / (1 / errors).sum()
    model = prior_weight / np.prod(problem.shape[1:])
    return weak_minimum(problem, window, step, model, weights, background=False)


def observed(problem, window):
    """H of the observed entries of a window in all its states, their values and variances."""
    y = problem.observations[window]
    h = problem.observation_operator
    h = np.eye(y.shape[-1]) if h is None else h
    seen = ~np.isnan(y).ravel()
    errors = np.broadcast_to(problem.noise_variance, problem.observations.shape)[window]
    return np.kron(np.eye(len(y)), h)[seen], y.ravel()[seen], errors.ravel()[seen]
