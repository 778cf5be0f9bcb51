"""The weak-constraint cost: the whole window is the control, the dynamics may err."""

from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy.linalg import solveh_banded

from tf4dvar.classical.covariance import Gaussian
from tf4dvar.classical.tangent_linear import OneStepModel


class CostWeights(Protocol):
    """Weights of the terms: `ErrorCovariances` or `AveragedTerms`."""

    def observation_precision(self, observed: np.ndarray) -> np.ndarray:
        """Of the misfits, [window, time, component, component]."""

    def model_precision(self, steps: int, components: int) -> np.ndarray:
        """Of the residuals of the dynamics, [component, component]."""


class WeakConstraint:
    """The weak-constraint cost of each window as a sum of squares in all its states (eq. 4).

        sum_t (x_t - y_t)^T R^-1 (x_t - y_t) + sum_t (x_{t+1} - f(x_t))^T Q^-1 (x_{t+1} - f(x_t))
        [+ (x_0 - m)^T B^-1 (x_0 - m)]

    It is the `LeastSquares` that `levenberg_marquardt` minimises: states are coupled with
    their neighbours in time alone, so that the Hessian is block tridiagonal.

    Args:
        model: f.
        observations: [window, time, component], physical units, NaN = not observed.
        weights: what gives R^-1 and Q^-1.
        background: m and B, left out without it.
    """

    def __init__(
        self,
        model: OneStepModel,
        observations: np.ndarray,
        weights: CostWeights,
        background: Gaussian | None = None,
    ):
        observed = ~np.isnan(observations)
        self.model = model
        self.values = np.where(observed, observations, 0.0)
        self.precision = weights.observation_precision(observed)
        self.model_precision = weights.model_precision(*observations.shape[1:])
        self.background_mean, self.background_precision = background_terms(
            background, observations.shape[-1]
        )

    def evaluate(self, control, windows):
        """The costs; the states are the control itself."""
        with np.errstate(over="ignore", invalid="ignore"):
            misfit, residual, departure = self._errors(control, windows)
            costs = (
                np.einsum("wti,wtij,wtj->w", misfit, self.precision[windows], misfit)
                + np.einsum("wti,ij,wtj->w", residual, self.model_precision, residual)
                + np.einsum("wi,ij,wj->w", departure, self.background_precision, departure)
            )
        return costs, control

    def quadratic(self, states, windows):
        """Gradient, and diagonal and lower blocks of the Hessian."""
        misfit, residual, departure = self._errors(states, windows)
        jacobians = self.model.jacobians(states[:, :-1])
        weighted = residual @ self.model_precision
        lower = -self.model_precision @ jacobians
        diagonal = self.precision[windows]
        diagonal[:, 1:] += self.model_precision
        diagonal[:, :-1] -= jacobians.swapaxes(-1, -2) @ lower
        diagonal[:, 0] += self.background_precision
        gradient = (self.precision[windows] @ misfit[..., None])[..., 0]
        gradient[:, 1:] += weighted
        gradient[:, :-1] -= (weighted[:, :, None] @ jacobians)[:, :, 0]
        gradient[:, 0] += departure @ self.background_precision
        return gradient, (diagonal, lower)

    def increment(self, hessian, gradient, damping):
        """Solve the block tridiagonal systems by banded Cholesky factors."""
        diagonal, lower = hessian
        components = diagonal.shape[-1]
        # Each column from its diagonal block down; read from the diagonal on, it is a column of
        # LAPACK's lower banded storage.
        columns = np.zeros((*gradient.shape, 3 * components))
        columns[..., :components] = diagonal.swapaxes(-1, -2)
        columns[:, :-1, :, components : 2 * components] = lower.swapaxes(-1, -2)
        window, time, column, entry = columns.strides
        band = as_strided(
            columns, (*gradient.shape, 2 * components), (window, time, column + entry, entry)
        ).copy()
        band[..., 0] *= 1 + damping[:, None, None]
        increment = [
            solveh_banded(
                matrix.reshape(-1, 2 * components).T,
                vector.ravel(),
                lower=True,
                overwrite_ab=True,
                check_finite=False,
            )
            for matrix, vector in zip(band, gradient, strict=True)
        ]
        return np.reshape(increment, gradient.shape)

    def _errors(self, states, windows):
        """Misfit to the observations, residual of the dynamics, departure from the background."""
        residual = states[:, 1:] - self.model.forecast(states[:, :-1])
        return states - self.values[windows], residual, states[:, 0] - self.background_mean


def background_terms(background: Gaussian | None, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and inverse covariance of a background, zeros without one."""
    if background is None:
        return np.zeros(components), np.zeros((components, components))
    return background.mean, background.precision()
