"""The weak-constraint cost: the whole window is the control, the dynamics may err."""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy.linalg import solveh_banded

from tf4dvar.classical.covariance import Covariance, Gaussian, covariance_matrix
from tf4dvar.classical.observation_operator import adjoint, normal_matrix
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.tangent_linear import one_step_model


class Terms(NamedTuple):
    """What weighs the terms of the weak-constraint cost.

    Attributes:
        observation: R^-1 of what is observed, [window, time, observed, observed].
        model: Q^-1, [component, component].
        mean: m, [component].
        background: B^-1, [component, component]; zero without a background.
    """

    observation: np.ndarray
    model: np.ndarray
    mean: np.ndarray
    background: np.ndarray


def averaged_terms(problem: Problem, observation_weight: float, prior_weight: float) -> Terms:
    """The terms as the paper writes them (eq. 4): mean squares, that of the misfits by 1 / R.

    Args:
        problem: the windows.
        observation_weight: lambda_1, of the mean square over the observed entries.
        prior_weight: lambda_2, of the mean square over all entries.
    """
    _, steps, components = problem.shape
    precision = observation_weight * problem.relative_precision()
    total = np.einsum("wtii->w", precision) / observation_weight
    precision /= np.where(total, total, 1.0)[:, None, None, None]
    model = prior_weight / (steps * components) * np.eye(components)
    return Terms(precision, model, *background_terms(None, components))


def covariance_terms(problem: Problem, model_covariance: Covariance) -> Terms:
    """The terms by inverse error covariances, with the background where one is known.

    Args:
        problem: the windows.
        model_covariance: Q, of the errors of one step of the model.
    """
    components = problem.components
    return Terms(
        problem.precision(),
        np.linalg.inv(covariance_matrix(model_covariance, components)),
        *background_terms(problem.prior, components),
    )


def background_terms(background: Gaussian | None, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and inverse covariance of a background, zeros without one."""
    if background is None:
        return np.zeros(components), np.zeros((components, components))
    return background.mean, background.precision()


class WeakConstraint:
    """The weak-constraint cost of each window as a sum of squares in all its states (eq. 4).

        sum_t (H(x_t) - y_t)^T R^-1 (H(x_t) - y_t)
        + sum_t (x_{t+1} - f(x_t))^T Q^-1 (x_{t+1} - f(x_t))
        [+ (x_0 - m)^T B^-1 (x_0 - m)]

    It is the `LeastSquares` that `levenberg_marquardt` minimises: states are coupled with
    their neighbours in time alone, so that the Hessian is block tridiagonal.

    Args:
        problem: y, H and f.
        terms: R^-1, Q^-1, m and B^-1.
    """

    def __init__(self, problem: Problem, terms: Terms):
        self.model = one_step_model(problem.flow, problem.components)
        self.operator = problem.operator
        self.covariates = problem.covariates_of_steps
        self.values = problem.values
        self.precision = terms.observation
        self.model_precision = terms.model
        self.background_mean, self.background_precision = terms.mean, terms.background

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
        jacobians = self.model.jacobians(states[:, :-1], self._covariates(windows))
        weighted = residual @ self.model_precision
        lower = -self.model_precision @ jacobians
        precision, observed = self.precision[windows], self.operator.jacobian(states)
        diagonal = normal_matrix(observed, precision)
        gradient = adjoint(observed, (precision @ misfit[..., None])[..., 0])
        diagonal[:, 1:] += self.model_precision
        diagonal[:, :-1] -= jacobians.swapaxes(-1, -2) @ lower
        diagonal[:, 0] += self.background_precision
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

    def _covariates(self, windows):
        return None if self.covariates is None else self.covariates[windows, :-1]

    def _errors(self, states, windows):
        """Misfit to the observations, residual of the dynamics, departure from the background."""
        misfit = self.operator(states) - self.values[windows]
        predicted = self.model.forecast(states[:, :-1], self._covariates(windows))
        residual = states[:, 1:] - predicted
        return misfit, residual, states[:, 0] - self.background_mean
