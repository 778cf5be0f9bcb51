"""Gradient descent of the variational cost: the paper's baseline, and with line search."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf4dvar.classical.analysis import Analysis
from tf4dvar.classical.first_guess import first_guess
from tf4dvar.classical.method import Method, setting
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.tangent_linear import check_double
from tf4dvar.classical.weighted_method import OBSERVATION_WEIGHT, PRIOR_WEIGHT

# Of the terms' averages the gradient is as small as the window is long: the step is per entry.
STEP_PER_ENTRY = 0.1
CHUNK = 1000
# Relative decrease of the cost over the last chunk of steps below which a window has converged.
TOLERANCE = 1e-3
# Armijo's condition: the least part of the decrease promised by the gradient.
SUFFICIENT = 1e-4


@dataclass(frozen=True)
class FixedStepDescent(Method):
    """Fixed-step gradient descent of the variational cost.

    All windows at once go down eq. 4, its terms averaged, by eq. 5; the observations' mean square
    is weighted by 1 / R. It takes any prior of dtype float64 in physical units. With line search
    every window has a step of its own under Armijo's condition: it doubles when it lowered the
    cost enough, else it halves and is tried again. Costs are those of `VariationalCost`.
    """

    name = "fsgd"
    steps: int = setting(150_000, "The paper takes over 150,000.", at_least=1)
    line_search: bool = setting(False, "A step of its own for each window.")

    def solve(self, problem, progress):
        """See `Method.analyse`."""
        started = time.perf_counter()
        for analysis in self.iterates(problem):
            done = int(analysis.iterations[0])
            if done:
                progress(done, self.steps)
        seconds = (time.perf_counter() - started) / len(analysis.states)
        return analysis._replace(seconds_per_window=seconds)

    def iterates(self, problem: Problem) -> Iterator[Analysis]:
        """What is reached at the first guess, every thousand steps, and in the end.

        Args:
            problem: the windows.
        """
        descend = _line_search if self.line_search else _fixed_steps
        before = None
        for done, state, costs in descend(*_cost_and_first_guess(problem), self.steps):
            states, costs = state.numpy(), costs.numpy()
            # A cost that is not finite has not converged either.
            converged = np.abs((costs if before is None else before) - costs) <= TOLERANCE * costs
            yield Analysis(states, costs, np.full(len(costs), done), converged)
            before = costs


def _fixed_steps(cost, state, data, steps) -> Iterator[tuple[int, Any, Any]]:
    import tensorflow as tf

    from tf4dvar.layers import CostGradient, FixedStepCell, GradientSolver

    update = FixedStepCell(STEP_PER_ENTRY * np.prod(state.shape[1:]), dtype="float64")
    solver = GradientSolver(update, normalise=False, dtype="float64")
    gradient = CostGradient(cost, dtype="float64")
    for layer in (solver, gradient):
        layer.build(state.shape)
    descend = tf.function(lambda *data: solver(*data, cost_gradient=gradient))
    yield 0, state, cost(state, *data)
    done = 0
    while done < steps:
        solver.iterations = min(CHUNK, steps - done)
        state = descend(state, *data)
        done += solver.iterations
        yield done, state, cost(state, *data)


def _line_search(cost, state, data, steps) -> Iterator[tuple[int, Any, Any]]:
    import tensorflow as tf

    from tf4dvar.layers import CostGradient
    from tf4dvar.layers.windows import window_sum

    layer = CostGradient(cost, dtype="float64")
    layer.build(state.shape)
    evaluate = tf.function(layer)
    gradient, costs = evaluate(state, *data)
    ones = tf.ones_like(window_sum(state, keepdims=True))
    size = STEP_PER_ENTRY * np.prod(state.shape[1:]) * ones
    yield 0, state, costs
    for done in range(1, steps + 1):
        trial = state - size * gradient
        trial_gradient, trial_costs = evaluate(trial, *data)
        promised = tf.reshape(size, [-1]) * window_sum(tf.square(gradient))
        enough = trial_costs <= costs - SUFFICIENT * promised
        costs = tf.where(enough, trial_costs, costs)
        enough = tf.reshape(enough, size.shape)
        state = tf.where(enough, trial, state)
        gradient = tf.where(enough, trial_gradient, gradient)
        size = tf.where(enough, 2 * size, size / 2)
        if done % CHUNK == 0 or done == steps:
            yield done, state, costs


def _cost_and_first_guess(problem: Problem) -> tuple[Any, Any, list]:
    """The cost, the first guess, and the observations with 0 for NaN and their weights."""
    import tensorflow as tf

    from tf4dvar.layers import VariationalCost

    check_double(problem.flow)
    cost = VariationalCost(
        problem.flow,
        OBSERVATION_WEIGHT,
        PRIOR_WEIGHT,
        learn_weights=False,
        operator=problem.operator.layer(),
        dtype="float64",
    )
    known = () if problem.covariates is None else (problem.covariates,)
    data = problem.values, problem.relative_weights(), *known
    return cost, tf.constant(first_guess(problem)), [tf.constant(each, tf.float64) for each in data]
