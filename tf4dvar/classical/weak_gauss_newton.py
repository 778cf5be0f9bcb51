"""Weak-constraint 4DVar by Gauss-Newton steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tf4dvar.classical.analysis import Analysis, Progress, in_chunks, windows_at_once
from tf4dvar.classical.first_guess import first_guess
from tf4dvar.classical.levenberg_marquardt import levenberg_marquardt
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.tangent_linear import one_step_model
from tf4dvar.classical.weak_cost import Terms, WeakConstraint
from tf4dvar.classical.weighted_method import WeightedMethod

# Relative decrease of the cost that a converged step still promises.
ITERATIONS, TOLERANCE = 200, 1e-6
STAGE_ITERATIONS, STAGE_TOLERANCE = 20, 1e-3


@dataclass(frozen=True)
class WeakGaussNewton(WeightedMethod):
    """Weak-constraint 4DVar by Gauss-Newton steps: the same cost, faster.

    Costs are those of `WeakConstraint`, minimised by Levenberg-Marquardt steps.
    """

    name = "weak-gauss-newton"

    def solve(self, problem, progress):
        """See `Method.analyse`."""
        return minimise_in_stages(problem, [self.terms], ITERATIONS, progress)


def minimise_in_stages(
    problem: Problem,
    stages: Sequence[Callable[[Problem], Terms]],
    iterations: int,
    progress: Progress,
) -> Analysis:
    """Minimise one weak-constraint cost after another, each minimum the first guess of the next.

    Args:
        problem: all windows.
        stages: what gives the terms of each cost, the tolerance being the last's.
        iterations: of a stage, at most.
        progress: called with the windows done and their number.

    Returns:
        Costs and convergence of the last stage; iterations of all.
    """
    one_step_model(problem.flow, problem.components)  # compiled before the clock starts

    def analyse(part: Problem) -> Analysis:
        states = first_guess(part)
        counts = np.zeros(len(states), int)
        for number, terms in enumerate(stages, start=1):
            last = number == len(stages)
            minimum = levenberg_marquardt(
                WeakConstraint(part, terms(part)),
                states,
                iterations if last else min(iterations, STAGE_ITERATIONS),
                TOLERANCE if last else STAGE_TOLERANCE,
            )
            states, counts = minimum.states, counts + minimum.iterations
        return Analysis(states, minimum.costs, counts, minimum.converged)

    _, steps, components = problem.shape
    chunk = windows_at_once(4 * steps * components**2)
    return in_chunks(analyse, problem, chunk, progress)
