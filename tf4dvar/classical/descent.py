"""Fixed-step gradient descent of the variational cost: the paper's baseline."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers import FixedStepCell, GradientSolver, LinearInterpolation, VariationalCost
from tf4dvar.metrics import OBSERVATION_WEIGHT, PRIOR_WEIGHT

# Of the terms' averages the gradient is as small as the window is long: the step is per entry.
STEP_PER_ENTRY = 0.1
CHUNK = 1000


class Descent(NamedTuple):
    """What fixed-step descent reached.

    Attributes:
        states: [window, time, component], physical units.
        costs: variational cost of each, [window].
    """

    states: np.ndarray
    costs: np.ndarray


def first_guess(observations: np.ndarray) -> np.ndarray:
    """Linear interpolation in time; a component without observations is 0.

    Args:
        observations: [window, time, component], physical units, NaN = not observed.
    """
    observed = ~np.isnan(observations)
    values = tf.constant(np.where(observed, observations, 0.0))
    layer = LinearInterpolation(dtype="float64")
    return layer(values, tf.constant(observed.astype("float64"))).numpy()


def fixed_step_descent(
    observations: np.ndarray,
    flow: keras.layers.Layer,
    steps: int,
    step_per_entry: float = STEP_PER_ENTRY,
    observation_weight: float = OBSERVATION_WEIGHT,
    prior_weight: float = PRIOR_WEIGHT,
    progress: Callable[[int, int], None] | None = None,
) -> Descent:
    """Minimise the cost of all windows at once by gradient steps of fixed size (eq. 5).

    Args:
        observations: [window, time, component], physical units, NaN = not observed.
        flow: the prior, a layer of dtype float64 in physical units.
        steps: number of steps; the paper takes over 150,000.
        step_per_entry: the step is this times the number of entries of a window, since the
            cost's terms are averages over them.
        observation_weight, prior_weight: lambda_1 and lambda_2.
        progress: called with the steps done and the steps in all.
    """
    observed = ~np.isnan(observations)
    values = tf.constant(np.where(observed, observations, 0.0), tf.float64)
    mask = tf.constant(observed, tf.float64)
    cost = VariationalCost(
        flow, observation_weight, prior_weight, learn_weights=False, dtype="float64"
    )
    cell = FixedStepCell(step_per_entry * observations[0].size, dtype="float64")
    solver = GradientSolver(cost, cell, normalise=False, dtype="float64")
    solver.build(values.shape)
    descend = tf.function(solver)

    state = tf.constant(first_guess(observations))
    done = 0
    while done < steps:
        solver.iterations = min(CHUNK, steps - done)
        state = descend(state, values, mask)
        done += solver.iterations
        if progress is not None:
            progress(done, steps)
    return Descent(state.numpy(), cost(state, values, mask).numpy())
