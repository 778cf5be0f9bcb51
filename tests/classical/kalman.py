"""The Kalman filter and the Rauch-Tung-Striebel smoother, the reference for linear dynamics."""

import numpy as np


def kalman_smoother(observations, matrix, observation_variance, background, model_error=0.0):
    """Mean and variances of one window [time, component], and its innovations' cost.

    The dynamics x_{t+1} = matrix x_t are perfect but for a model error, a variance or in full.
    """
    mean, covariance = background
    error = model_error * np.eye(len(mean)) if np.ndim(model_error) == 0 else model_error
    filtered, predicted, cost = [], [], 0.0
    for time, values in enumerate(observations):
        if time:
            mean, covariance = matrix @ mean, matrix @ covariance @ matrix.T + error
        predicted.append((mean, covariance))
        seen = ~np.isnan(values)
        if seen.any():
            h = np.eye(len(mean))[seen]
            total = h @ covariance @ h.T + observation_variance * np.eye(seen.sum())
            innovation = values[seen] - h @ mean
            gain = covariance @ h.T @ np.linalg.inv(total)
            cost += innovation @ np.linalg.solve(total, innovation)
            mean = mean + gain @ innovation
            covariance = covariance - gain @ h @ covariance
        filtered.append((mean, covariance))
    means, covariances = [mean], [covariance]
    for (m, p), (m_next, p_next) in zip(filtered[-2::-1], predicted[:0:-1], strict=True):
        gain = p @ matrix.T @ np.linalg.inv(p_next)
        means.append(m + gain @ (means[-1] - m_next))
        covariances.append(p + gain @ (covariances[-1] - p_next) @ gain.T)
    return np.array(means[::-1]), np.array([np.diag(p) for p in covariances[::-1]]), cost
