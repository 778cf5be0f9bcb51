"""Multiple shooting: from a window towards the trajectories that are near it and the observations.

The first states of segments are the unknowns (Bock and Plitt 1984), all other times follow from
them (condensed, as in Albersmeyer and Diehl 2010).
"""

from typing import Any, NamedTuple

import tensorflow as tf

from tf4dvar.layers.kernels.normal_equations import normal_equations, tied
from tf4dvar.layers.kernels.segments import from_blocks, overlapping, padded_blocks
from tf4dvar.layers.kernels.tangent import derivative, tangent_trajectories
from tf4dvar.layers.kernels.times import sizes

# No state is further from its first guess, in deviations: what is further off is not linear.
FARTHEST = 1.0
# Of a change of the first state: times at which it is more are left out, since that is not linear
# either, and of long windows it overflows.
LARGEST_GROWTH = 1e4


class Problem(NamedTuple):
    """What is sought: the trajectories of `flow` near the states and the observations.

    Attributes:
        states: x0, [batch, time, variable].
        weights: how much each entry of them counts.
        shares: of the way to the trajectory, that each entry is to go.
        observations: y, as for the call.
        counted: how much each of them counts, the mask times lambda_1.
        length: number of times of a trajectory.
        tie: how much the squares of jumps between trajectories count.
        flow: of normalised states.
        operator: H, or None.
        covariates: of the flow, in a list that is empty where it takes none.
    """

    states: tf.Tensor
    weights: tf.Tensor
    shares: tf.Tensor
    observations: tf.Tensor
    counted: tf.Tensor
    length: Any
    tie: Any
    flow: Any
    operator: Any
    covariates: list


def step(problem, around):
    """From a window to the one that is, to first order, what is sought.

    Args:
        problem: a `Problem`.
        around: x, [batch, time, variable].
    """
    batch, steps, components = sizes(around)
    length = problem.length

    def by_segment(values):
        """[batch * segment, time, entry]."""
        return tf.reshape(values, (-1, tf.shape(values)[2], values.shape[-1]))

    def cut(values):
        return by_segment(padded_blocks(values, length))

    def extended(values):
        return by_segment(overlapping(values, length))

    covariates = map(extended, problem.covariates)
    growth, drift = tangent_trajectories(problem.flow, extended(around), *covariates)
    largest = tf.reduce_max(tf.abs(growth), axis=-1) + tf.abs(drift)
    near = tf.reduce_all(largest < LARGEST_GROWTH, axis=-1, keepdims=True)
    growth = tf.where(near[..., tf.newaxis], growth, tf.zeros_like(growth))
    drift = tf.where(near, drift, tf.zeros_like(drift))
    growth, onward = tf.split(growth, (length, 1), axis=1)
    drift, arrived = tf.split(drift, (length, 1), axis=1)

    shown, moved, simulated = growth, drift, around
    if problem.operator is not None:
        observed = problem.observations.shape[-1]
        simulated, rows = derivative(problem.operator, observed, around)
        rows = padded_blocks(rows, length)
        rows = tf.reshape(rows, (-1, length, observed, components))
        shown = tf.matmul(rows, growth)
        moved = _times(rows, drift[..., tf.newaxis])
    diagonal, right = normal_equations(
        (growth, cut(problem.weights), cut(problem.states - around) - drift),
        (shown, cut(problem.counted), cut(problem.observations - simulated) - moved),
    )
    squares, vectors = (batch, -1, components, components), (batch, -1, components, 1)
    first = tied(
        tf.reshape(diagonal, squares),
        tf.reshape(right, vectors),
        tf.reshape(onward, squares),
        tf.reshape(arrived, vectors),
        problem.tie,
    )
    first = tf.cast(tf.reshape(first, (-1, 1, components, 1)), around.dtype)
    change = tf.reshape(drift + _times(growth, first), (batch, -1, length, components))
    change = around + from_blocks(change, steps) - problem.states
    return problem.states + tf.clip_by_value(change, -FARTHEST, FARTHEST)


def _times(matrices, vectors):
    return tf.squeeze(tf.matmul(matrices, vectors), axis=-1)
