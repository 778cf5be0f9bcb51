"""Gauss-Newton minimisation with Levenberg-Marquardt damping, many windows at once."""

from typing import Any, NamedTuple, Protocol

import numpy as np

FIRST_DAMPING = 1e-3
MORE, LESS = 10.0, 0.1
# A step is Newton's, so that its gain tells how far the minimum is, only if little damped.
LITTLE_DAMPING = 1.0
DAMPING_RANGE = (1e-9, 1e9)


class LeastSquares(Protocol):
    """A sum of squares in each window, to be minimised over that window's control.

    `windows` holds the indices of the windows that are meant.
    """

    def evaluate(self, control: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Costs, [window], and the states that follow from the controls."""

    def quadratic(self, states: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, Any]:
        """Half the gradient, shaped as the control, and half the Gauss-Newton Hessian."""

    def increment(self, hessian: Any, gradient: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Solve (H + damping diag H) increment = gradient, in every window."""


class Minimum(NamedTuple):
    """What the minimisation reached: see `Analysis`; `control` is shaped as the first guess."""

    control: np.ndarray
    states: np.ndarray
    costs: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray


def levenberg_marquardt(
    problem: LeastSquares, first_guess: np.ndarray, iterations: int, tolerance: float = 1e-6
) -> Minimum:
    """Minimise every window's sum of squares by damped Gauss-Newton steps.

    A step is taken if it lowers the cost; the damping falls then, and rises otherwise
    (Marquardt 1963). A window has converged when a step of little damping promises a relative
    decrease of the cost below the tolerance.

    Args:
        problem: the sum of squares.
        first_guess: of the control, [window, ...].
        iterations: most steps of a window, those that were not taken included.
        tolerance: relative decrease of the cost.
    """
    control = first_guess.copy()
    windows = np.arange(len(first_guess))
    costs, states = problem.evaluate(control, windows)
    damping = np.full(len(windows), FIRST_DAMPING)
    counts = np.zeros(len(windows), int)
    converged = np.zeros(len(windows), bool)
    for _ in range(iterations):
        gradient, hessian = problem.quadratic(states[windows], windows)
        increment = problem.increment(hessian, gradient, damping[windows])
        trial = control[windows] - increment
        trial_costs, trial_states = problem.evaluate(trial, windows)
        with np.errstate(invalid="ignore"):
            better = trial_costs <= costs[windows]
        promise = (gradient * increment).reshape(len(windows), -1).sum(axis=1)
        counts[windows] += 1
        converged[windows] = (promise <= tolerance * costs[windows]) & (
            damping[windows] <= LITTLE_DAMPING
        )
        taken = windows[better]
        control[taken], costs[taken] = trial[better], trial_costs[better]
        states[taken] = trial_states[better]
        damping[windows] = np.clip(damping[windows] * np.where(better, LESS, MORE), *DAMPING_RANGE)
        windows = windows[~converged[windows]]
        if len(windows) == 0:
            break
    return Minimum(control, states, costs, counts, converged)
