"""What a window may be changed by to become a trajectory."""

import tensorflow as tf

from tf4dvar.layers.adjoint import with_adjoint
from tf4dvar.layers.kernels.times import first_times, pad_times, sizes

# Of the copies that are differentiated together.
ENTRIES = 2**19
# Components up to which sums of products are faster than products of many small matrices.
FEW = 8


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
        vectors += tf.reduce_sum(matrices * moved, axis=-1)
        return 2 * reach, _product(matrices, before), vectors

    defects = prediction - tf.stop_gradient(around)
    _, growth, drift = tf.while_loop(
        lambda reach, *_: reach < steps, combine, (1, matrices, defects)
    )
    return tf.stop_gradient(growth), tf.stop_gradient(drift)


def _product(matrices, before):
    if matrices.shape[-1] > FEW:
        return tf.matmul(matrices, before)
    return tf.reduce_sum(matrices[..., tf.newaxis] * before[..., tf.newaxis, :, :], axis=-2)


def derivative(layer, observed, state, *covariates):
    """The value of a layer and its derivative at every time; gradients do not go through.

    All rows at once, of as many copies of the state, and of so many windows as stay in the cache.

    Args:
        layer: a `StateMap` or another layer that maps times to times, or a flow, which maps each
            to the next.
        observed: number of entries of a time of its value.
        state, *covariates: as for `with_adjoint`.

    Returns:
        Its value, [batch, time, observed], and by what a time was mapped, [batch, time, observed,
        variable].
    """
    batch, steps, components = sizes(state)
    most = tf.maximum(1, ENTRIES // (observed * steps * components))
    count = tf.maximum(1, -(-batch // most))
    block = -(-batch // count)

    def derive(number, values, rows):
        windows = tf.minimum(number * block + tf.range(block), batch - 1)
        given = [tf.gather(tf.stop_gradient(each), windows) for each in (state, *covariates)]
        value, adjoint = with_adjoint(layer, *(tf.tile(each, (observed, 1, 1)) for each in given))
        units = tf.repeat(tf.eye(observed, dtype=state.dtype), block, axis=0)[:, tf.newaxis]
        found = tf.reshape(
            adjoint(units + tf.zeros_like(value)), (observed, block, steps, components)
        )
        found = tf.transpose(found, (1, 2, 0, 3))
        return number + 1, values.write(number, value[:block]), rows.write(number, found)

    begun = [
        tf.TensorArray(state.dtype, count, element_shape=(None, state.shape[1], *shape))
        for shape in ((observed,), (observed, components))
    ]
    _, *found = tf.while_loop(lambda number, *_: number < count, derive, (0, *begun))

    def joined(blocks):
        blocks = tf.stop_gradient(blocks.stack())
        return tf.reshape(blocks, (count * block, *sizes(blocks)[2:]))[:batch]

    return tuple(map(joined, found))
