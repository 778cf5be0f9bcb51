"""The strong-constraint cost: the dynamics hold exactly, the initial state is the control."""

import numpy as np

from tf4dvar.classical.covariance import Covariance, Gaussian, observation_precision
from tf4dvar.classical.tangent_linear import OneStepModel


class StrongConstraint:
    """The strong-constraint cost of each window as a sum of squares in its initial state.

        (x_0 - m)^T B^-1 (x_0 - m) + sum_t (x_t - y_t)^T R^-1 (x_t - y_t),  x_{t+1} = f(x_t)

    twice the negative logarithm of the posterior density. It is the `LeastSquares` that
    `levenberg_marquardt` minimises.

    Args:
        model: f.
        observations: [window, time, component], physical units, NaN = not observed.
        observation_covariance: R.
        background: m and B.
    """

    def __init__(
        self,
        model: OneStepModel,
        observations: np.ndarray,
        observation_covariance: Covariance,
        background: Gaussian,
    ):
        self.model = model
        self.background = background
        self.background_precision = background.precision()
        observed = ~np.isnan(observations)
        self.observed_times = np.flatnonzero(observed.any(axis=(0, 2)))
        self.values = np.where(observed, observations, 0.0)[:, self.observed_times]
        self.precision = observation_precision(
            observation_covariance, observed[:, self.observed_times]
        )
        self.show(observations.shape[1])

    def show(self, steps: int) -> None:
        """Let the cost see the first `steps` times only."""
        self.steps = steps
        self._count = int((self.observed_times < steps).sum())

    def evaluate(self, control, windows):
        """The costs and the trajectories."""
        states = self.model.trajectory(control, self.steps)
        departure = control - self.background.mean
        with np.errstate(over="ignore", invalid="ignore"):
            costs = np.einsum("wi,ij,wj->w", departure, self.background_precision, departure)
            misfit, weighted = self._misfit(states, windows)
            return costs + (misfit * weighted).sum(axis=(1, 2)), states

    def quadratic(self, states, windows):
        """Gradient and Hessian through the propagators from the initial to the observed times."""
        _, weighted = self._misfit(states, windows)
        times = self.observed_times[: self._count]
        jacobians = self.model.jacobians(states[:, : times.max(initial=0) + 1])
        components = states.shape[-1]
        propagator = np.broadcast_to(np.eye(components), (len(windows), components, components))
        propagators = np.empty((len(windows), len(times), components, components))
        reached = 0
        for slot, time in enumerate(times):
            for step in range(reached, time):
                propagator = jacobians[:, step] @ propagator
            propagators[:, slot], reached = propagator, time
        departure = states[:, 0] - self.background.mean
        precision = self.precision[windows, : self._count]
        gradient = departure @ self.background_precision + np.einsum(
            "wtij,wti->wj", propagators, weighted
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
        """x - y at the observed times, and R^-1 times it."""
        misfit = states[:, self.observed_times[: self._count]] - self.values[windows, : self._count]
        return misfit, np.einsum("wtij,wtj->wti", self.precision[windows, : self._count], misfit)
