"""What the blocks of the GENN priors compute, and its adjoint."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def bilinear_with_adjoint(
    convolution, state, narrow, left, right, linear, product
) -> tuple[Any, Callable]:
    """Convolution, ReLU and a bilinear stage, and their adjoint; see `adjoint`.

        h = ReLU(W * state);    u = N h;    output = A u + P [(B u) (C u)]

    The linear maps that follow the bilinear stage are folded into A and P beforehand. N may be
    folded into A, B and C: that is less arithmetic where h is no wider than u; where it is, h
    had better be read once.

    Args:
        convolution: W with its transpose; see `BlockedConvolution`.
        state: [batch, time, component].
        narrow: N, transposed as the others, [width of h, units]; None where it is folded.
        left, right: B and C, [units, units].
        linear, product: A and P, [units, channels].

    Returns:
        [batch, time, ..., channels], and a function from that shape to that of the state.
    """
    h = tf.nn.relu(convolution(state))
    u = h if narrow is None else tf.matmul(h, narrow)
    b, c = tf.matmul(u, left), tf.matmul(u, right)
    output = convolution.cropped(tf.matmul(u, linear) + tf.matmul(b * c, product))

    def adjoint(residual):
        r = convolution.padded(residual)
        p = tf.matmul(r, product, transpose_b=True)
        to_u = tf.add_n(
            [
                tf.matmul(p * c, left, transpose_b=True),
                tf.matmul(p * b, right, transpose_b=True),
                tf.matmul(r, linear, transpose_b=True),
            ]
        )
        to_h = to_u if narrow is None else tf.matmul(to_u, narrow, transpose_b=True)
        # The derivative of ReLU as one operation, itself differentiable; in h its derivative is
        # zero, and would be added up as an array of zeros.
        slopes = tf.stop_gradient(h)
        return convolution.transposed(tf.raw_ops.ReluGrad(gradients=to_h, features=slopes))

    return output, adjoint
