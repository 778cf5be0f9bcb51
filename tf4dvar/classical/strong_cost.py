"""The strong-constraint cost: the dynamics hold exactly, the initial state is the control."""

import numpy as np

from tf4dvar.classical.observation_operator import adjoint, normal_matrix
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.tangent_linear import one_step_model
from tf4dvar.systems.axes import axes_but

ITERATIONS = 100
# Along a chaotic trajectory the last digits of the cost cost many steps and gain nothing.
TOLERANCE = 1e-5


class StrongConstraint:
    """The strong-constraint cost of each window as a sum of squares in its initial state.

        (x_0 - m)^T B^-1 (x_0 - m)
        + sum_t (H(x_t) - y_t)^T R^-1 (H(x_t) - y_t),  x_{t+1} = f(x_t)

    twice the negative logarithm of the posterior density. It is the `LeastSquares` that
    `levenberg_marquardt` minimises.

    Args:
        problem: y, H, R, f, m and B.
    """

    def __init__(self, problem: Problem):
        self.model = one_step_model(problem.flow, problem.components)
        self.operator = problem.operator
        self.covariates = problem.covariates_of_steps
        self.background = problem.required_prior()
        self.background_precision = self.background.precision()
        self.observed_times = np.flatnonzero(problem.observed.any(axis=(0, 2)))
        self.values = problem.values[:, self.observed_times]
        self.precision = problem.precision(self.observed_times)
        self.show(problem.shape[1])

    def show(self, steps: int) -> None:
        """Let the cost see the first `steps` times only."""
        self.steps = steps
        self._count = int((self.observed_times < steps).sum())

    def evaluate(self, control, windows):
        """The costs and the trajectories."""
        known = None if self.covariates is None else self.covariates[windows]
        states = self.model.trajectory(control, self.steps, known)
        departure = control - self.background.mean
        with np.errstate(over="ignore", invalid="ignore"):
            costs = np.einsum("wi,ij,wj->w", departure, self.background_precision, departure)
            misfit, weighted = self._misfit(states, windows)
            return costs + (misfit * weighted).sum(axes_but(0, misfit)), states

    def quadratic(self, states, windows):
        """Gradient and Hessian through the propagators from the initial to the observed times."""
        _, weighted = self._misfit(states, windows)
        times = self.observed_times[: self._count]
        steps = slice(times.max(initial=0) + 1)
        known = None if self.covariates is None else self.covariates[windows, steps]
        jacobians = self.model.jacobians(states[:, steps], known)
        components = states.shape[-1]
        propagator = np.broadcast_to(np.eye(components), (len(windows), components, components))
        propagators = np.empty((len(windows), len(times), components, components))
        reached = 0
        for index, time in enumerate(times):
            for step in range(reached, time):
                propagator = jacobians[:, step] @ propagator
            propagators[:, index], reached = propagator, time
        departure = states[:, 0] - self.background.mean
        observed = self.operator.jacobian(states[:, times])
        precision = normal_matrix(observed, self.precision[windows, : self._count])
        gradient = departure @ self.background_precision + np.einsum(
            "wtij,wti->wj", propagators, adjoint(observed, weighted)
        )
        hessian = self.background_precision + np.einsum(
            "wtji,wtjk->wik", propagators, precision @ propagators
        )
        return gradient, hessian

    def increment(self, hessian, gradient, damping):
        """Solve the small dense systems."""
        diagonal = np.einsum("wii->wi", hessian)
        damped = hessian + np.eye(diagonal.shape[1]) * (damping[:, None] * diagonal)[:, None]
        return np.linalg.solve(damped, gradient[..., None])[..., 0]

    def _misfit(self, states, windows):
        """H(x) - y at the observed times, and R^-1 times it."""
        simulated = self.operator(states[:, self.observed_times[: self._count]])
        misfit = simulated - self.values[windows, : self._count]
        return misfit, np.einsum("wtij,wtj->wti", self.precision[windows, : self._count], misfit)
