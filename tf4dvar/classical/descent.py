"""Gradient descent of the variational cost: the paper's baseline, and with line search."""

import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.classical.analysis import Analysis, Progress, report_convergence
from tf4dvar.classical.first_guess import first_guess
from tf4dvar.data import check_observations
from tf4dvar.layers import (
    CostGradient,
    FixedStepCell,
    GradientSolver,
    VariationalCost,
)
from tf4dvar.metrics import OBSERVATION_WEIGHT, PRIOR_WEIGHT

# Of the terms' averages the gradient is as small as the window is long: the step is per entry.
STEP_PER_ENTRY = 0.1
CHUNK = 1000
# Relative decrease of the cost over the last chunk of steps below which a window has converged.
TOLERANCE = 1e-3
# Armijo's condition: the least part of the decrease promised by the gradient.
SUFFICIENT = 1e-4


def fixed_step_descent(
    observations: np.ndarray,
    flow: keras.layers.Layer,
    steps: int,
    step_per_entry: float = STEP_PER_ENTRY,
    observation_weight: float = OBSERVATION_WEIGHT,
    prior_weight: float = PRIOR_WEIGHT,
    progress: Progress | None = None,
    look: Callable[[np.ndarray], None] | None = None,
) -> Analysis:
    """Minimise the cost of all windows at once by gradient steps of fixed size (eq. 5).

    Args:
        observations: [window, time, component], physical units, NaN = not observed.
        flow: the prior, a layer of dtype float64 in physical units.
        steps: number of steps; the paper takes over 150,000.
        step_per_entry: the step is this times the number of entries of a window, since the
            cost's terms are averages over them.
        observation_weight, prior_weight: lambda_1 and lambda_2.
        progress: called with the steps done and the steps in all.
        look: called with the states at the start and every thousand steps.

    Returns:
        Costs are those of `VariationalCost`.
    """
    started = time.perf_counter()
    cost, state, values, mask = _problem(observations, flow, observation_weight, prior_weight)
    cell = FixedStepCell(step_per_entry * observations[0].size, dtype="float64")
    solver = GradientSolver(cost, cell, normalise=False, dtype="float64")
    solver.build(values.shape)
    descend = tf.function(solver)
    before = after = cost(state, values, mask).numpy()
    done = 0
    if look is not None:
        look(state.numpy())
    while done < steps:
        solver.iterations = min(CHUNK, steps - done)
        state = descend(state, values, mask)
        done += solver.iterations
        before, after = after, cost(state, values, mask).numpy()
        if progress is not None:
            progress(done, steps)
        if look is not None:
            look(state.numpy())
    # A cost that is not finite has not converged either.
    converged = np.abs(before - after) <= TOLERANCE * after
    return _analysis(state.numpy(), after, np.full(len(after), steps), converged, started)


def line_search_descent(
    observations: np.ndarray,
    flow: keras.layers.Layer,
    steps: int,
    observation_weight: float = OBSERVATION_WEIGHT,
    prior_weight: float = PRIOR_WEIGHT,
    progress: Progress | None = None,
) -> Analysis:
    """As `fixed_step_descent`, every window with a step of its own under Armijo's condition.

    The step doubles when it lowered the cost enough, else it halves and is tried again.
    """
    started = time.perf_counter()
    cost, state, values, mask = _problem(observations, flow, observation_weight, prior_weight)
    layer = CostGradient(cost, dtype="float64")
    layer.build(values.shape)
    evaluate = tf.function(layer)
    gradient, costs = evaluate(state, values, mask)
    size = STEP_PER_ENTRY * observations[0].size * tf.ones((len(observations), 1, 1), tf.float64)
    before = earlier = costs
    for done in range(1, steps + 1):
        trial = state - size * gradient
        trial_gradient, trial_costs = evaluate(trial, values, mask)
        promised = size[:, 0, 0] * tf.reduce_sum(tf.square(gradient), axis=(1, 2))
        enough = trial_costs <= costs - SUFFICIENT * promised
        costs = tf.where(enough, trial_costs, costs)
        enough = enough[:, None, None]
        state = tf.where(enough, trial, state)
        gradient = tf.where(enough, trial_gradient, gradient)
        size = tf.where(enough, 2 * size, size / 2)
        if done % CHUNK == 0 or done == steps:
            before, earlier = earlier, costs
            if progress is not None:
                progress(done, steps)
    converged = (before - costs <= TOLERANCE * costs).numpy()
    return _analysis(state.numpy(), costs.numpy(), np.full(len(costs), steps), converged, started)


def _problem(observations, flow, observation_weight, prior_weight):
    """The cost, the first guess, the observations with 0 for NaN, and their mask."""
    check_observations(observations)
    observed = ~np.isnan(observations)
    cost = VariationalCost(
        flow, observation_weight, prior_weight, learn_weights=False, dtype="float64"
    )
    return (
        cost,
        tf.constant(first_guess(observations)),
        tf.constant(np.where(observed, observations, 0.0), tf.float64),
        tf.constant(observed, tf.float64),
    )


def _analysis(states, costs, iterations, converged, started):
    report_convergence(converged)
    seconds = (time.perf_counter() - started) / len(states)
    return Analysis(states, costs, iterations, converged, seconds_per_window=seconds)
