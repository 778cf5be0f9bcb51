"""Strong-constraint 4DVar from one first guess."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tf4dvar.classical.analysis import Analysis, Progress, in_chunks, windows_at_once
from tf4dvar.classical.levenberg_marquardt import Minimum, levenberg_marquardt
from tf4dvar.classical.method import Method
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.strong_cost import ITERATIONS, TOLERANCE, StrongConstraint
from tf4dvar.classical.tangent_linear import one_step_model


@dataclass(frozen=True)
class Strong(Method):
    """Strong-constraint 4DVar from the mean of the climatology.

    Long windows of chaotic systems have very many minima (Pires et al. 1996). Costs are those of
    `StrongConstraint`.
    """

    name = "strong"
    takes_background = True

    def solve(self, problem, progress):
        """See `Method.analyse`."""
        return minimise(problem, minimum_from, progress)


def minimum_from(cost: StrongConstraint, first_guess: np.ndarray) -> Minimum:
    """The minima that first guesses of the initial states, [window, component], lead to."""
    return levenberg_marquardt(cost, first_guess, ITERATIONS, TOLERANCE)


def minimise(
    problem: Problem,
    search: Callable[[StrongConstraint, np.ndarray], Minimum],
    progress: Progress,
) -> Analysis:
    """Minimise the strong-constraint cost of all windows.

    Args:
        problem: all windows.
        search: gives the minimum of a cost, from the means of the background [window, component].
        progress: called with the windows done and their number.
    """
    prior = problem.required_prior()
    one_step_model(problem.flow, problem.components)  # compiled before the clock starts

    def analyse(part: Problem) -> Analysis:
        means = np.tile(prior.mean, (len(part.observations), 1))
        cost = StrongConstraint(part)
        minimum = search(cost, means)
        # Of the posterior as far as it is Gaussian.
        _, precision = cost.quadratic(minimum.states, np.arange(len(means)))
        return Analysis(*minimum[1:], covariance=np.linalg.inv(precision))

    _, steps, components = problem.shape
    return in_chunks(analyse, problem, windows_at_once(steps * components**2), progress)
