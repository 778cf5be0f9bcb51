"""What a window may be changed by to become a trajectory."""

import tensorflow as tf

from tf4dvar.layers.adjoint import with_adjoint
from tf4dvar.layers.kernels.times import first_times, pad_times

# Share of the mean eigenvalue, for directions of the first state that next to nothing depends on.
DAMPING = 1e-9


def tangent_trajectories(flow, around, *covariates):
    """Changes of a window that make it a trajectory of a flow, to first order.

    They are G_t d + b_t for any change d of the first state:

        G_0 = I, G_{t+1} = M_t G_t,  b_0 = 0, b_{t+1} = M_t b_t + Phi(x_t) - x_{t+1}

    with M_t the derivative of Phi at x_t. All times are done at once, in as many rounds as T has
    digits in base 2 (Hillis and Steele 1986). Gradients do not go through.

    Args:
        flow: the prior Phi, which predicts every time from the one before.
        around: x, the window, [batch, time, variable].
        *covariates: [batch, time, covariate], if the flow takes some.

    Returns:
        G, [batch, time, variable, variable], and b, [batch, time, variable].
    """
    steps, components = tf.shape(around)[1], around.shape[-1]
    prediction, rows = derivative(flow, components, around, *covariates)
    unit = tf.eye(components, dtype=around.dtype)
    is_first = tf.cast(tf.range(steps) < 1, around.dtype)[:, tf.newaxis, tf.newaxis] * unit
    # The first time is its own prediction, too.
    matrices = pad_times(first_times(rows - is_first, steps - 1), 1, 0) + is_first

    def combine(reach, matrices, vectors):
        """Maps over `reach` times after those over as many before."""
        # No parts of the time axis, whose sizes XLA would have to know.
        begun = (tf.range(steps) >= reach)[:, tf.newaxis, tf.newaxis]
        earlier = tf.maximum(tf.range(steps) - reach, 0)
        before = tf.where(begun, tf.gather(matrices, earlier, axis=1), unit)
        moved = tf.gather(vectors, earlier, axis=1)[:, :, tf.newaxis]
        moved = tf.where(begun, moved, tf.zeros_like(moved))
        # As sums of products: of matrices so small, products one by one take many times as long.
        vectors += tf.reduce_sum(matrices * moved, axis=-1)
        matrices = tf.reduce_sum(matrices[..., tf.newaxis] * before[..., tf.newaxis, :, :], axis=-2)
        return 2 * reach, matrices, vectors

    defects = prediction - tf.stop_gradient(around)
    _, growth, drift = tf.while_loop(
        lambda reach, *_: reach < steps, combine, (1, matrices, defects)
    )
    return tf.stop_gradient(growth), tf.stop_gradient(drift)


def derivative(layer, observed, state, *covariates):
    """The value of a layer and its derivative at every time; gradients do not go through.

    All rows at once, of as many copies of the state.

    Args:
        layer: a `StateMap` or another layer that maps times to times, or a flow, which maps each
            to the next.
        observed: number of entries of a time of its value.
        state, *covariates: as for `with_adjoint`.

    Returns:
        Its value, [batch, time, observed], and by what a time was mapped, [batch, time, observed,
        variable].
    """
    given = [tf.tile(tf.stop_gradient(each), (observed, 1, 1)) for each in (state, *covariates)]
    value, adjoint = with_adjoint(layer, *given)
    batch = tf.shape(state)[0]
    units = tf.repeat(tf.eye(observed, dtype=state.dtype), batch, axis=0)[:, tf.newaxis]
    rows = adjoint(units + tf.zeros_like(value))
    rows = tf.reshape(rows, (observed, batch, tf.shape(state)[1], state.shape[-1]))
    rows = tf.transpose(rows, (1, 2, 0, 3))
    return tf.stop_gradient(value[:batch]), tf.stop_gradient(rows)


def solved(*terms):
    """d, [batch, variable, 1], at which the sum of weighted squares |r - A d|^2 is least.

    In double precision, as squares have half of the digits, and written out, as not every place to
    which a model is exported solves equations.

    Args:
        *terms: A, [batch, time, entry, variable]; weights and r, [batch, time, entry].
    """
    components = terms[0][0].shape[-1]
    equations = 0.0
    for matrix, weights, target in terms:
        target, weights = (tf.expand_dims(each, axis=-1) for each in (target, weights))
        beside = tf.concat([matrix, target], axis=-1)
        matrix, weights, beside = (tf.cast(each, tf.float64) for each in (matrix, weights, beside))
        equations += tf.einsum("btij,btik->bjk", weights * matrix, beside)
    units = tf.eye(components, components + 1, dtype=tf.float64)
    mean = tf.reduce_sum(equations * units, axis=(1, 2), keepdims=True) / components
    equations += DAMPING * mean * units
    # No slices: in a branch there is nothing in ONNX for them.
    for place, unit in enumerate(tf.split(tf.eye(components, dtype=tf.float64), components)):
        row = tf.split(equations, components, axis=1)[place]
        column = tf.split(equations, components + 1, axis=2)[place]
        pivot = tf.split(row, components + 1, axis=2)[place]
        equations -= (column - tf.transpose(unit)) * (row / pivot)
    return tf.cast(tf.split(equations, components + 1, axis=2)[-1], terms[0][0].dtype)
