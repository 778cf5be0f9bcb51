"""Ordinary differential equations whose right-hand side is bilinear."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.checks import check_components
from tf4dvar.layers.contracts import ODE

# Where each of the nine coefficients stands: PLACES[equation, place, term, equation] is one for
# the terms (x, y, z, yz, xz, xy).
PLACES = np.zeros((3, 3, 6, 3))
for _equation, _terms in enumerate(((0, 1, 3), (1, 0, 4), (2, 0, 5))):
    for _place, _term in enumerate(_terms):
        PLACES[_equation, _place, _term, _equation] = 1.0


@keras.saving.register_keras_serializable(package="tf4dvar")
class Lorenz63ODE(ODE):
    """Lorenz-63 as a bilinear ODE with nine coefficients (eq. 15 in the form of ref. [15]).

    Each equation has three coefficients: of its damping, of one linear coupling, and of the
    product of the other two components:

        dx/dt = a0 x + a1 y + a2 y z        truth: -sigma, sigma, 0
        dy/dt = b0 y + b1 x + b2 x z        truth: -1, rho, -1
        dz/dt = c0 z + c1 x + c2 x y        truth: -beta, 0, 1

    Args:
        coefficients: the nine initial values (a0, a1, a2, b0, ..., c2), per unit of time; the
            true ones by default. Freeze them with `trainable=False`.

    Call arguments:
        state: [batch, time, *space, 3], physical units.

    Returns:
        dx/dt, same shape, per unit of time.
    """

    TRUTH = (-10.0, 10.0, 0.0, -1.0, 28.0, -1.0, -8.0 / 3.0, 0.0, 1.0)

    def __init__(self, coefficients: Sequence[float] = TRUTH, **kwargs):
        super().__init__(**kwargs)
        if len(coefficients) != 9:
            raise ValueError(f"Received {len(coefficients)} coefficients; expected 9.")
        self.coefficients = tuple(float(value) for value in coefficients)

    def build(self, input_shape):
        """Create the nine coefficients."""
        check_components(self, input_shape, 3)
        self._coefficients = self.add_weight(
            shape=(3, 3),
            initializer=keras.initializers.Constant(np.reshape(self.coefficients, (3, 3))),
            name="coefficients",
        )

    def with_adjoint(self, state):
        """The right-hand side and its adjoint; see `tf4dvar.layers.adjoint`.

        Components first, a component is one piece of memory. The map from the three of them and
        their three products to the slopes is one matrix product, which turns them back.
        """
        shape = tf.shape(state)
        x, y, z = tf.unstack(tf.transpose(tf.reshape(state, (-1, 3))))
        weights = tf.tensordot(
            tf.convert_to_tensor(self._coefficients), tf.constant(PLACES, state.dtype), 2
        )
        terms = tf.stack([x, y, z, y * z, x * z, x * y])
        slopes = tf.reshape(tf.matmul(terms, weights, transpose_a=True), shape)

        def adjoint(residual):
            rows = tf.reshape(residual, (-1, 3))
            a, b, c, yz, xz, xy = tf.unstack(tf.matmul(weights, rows, transpose_b=True))
            columns = tf.stack([a + xz * z + xy * y, b + yz * z + xy * x, c + yz * y + xz * x])
            return tf.reshape(tf.transpose(columns), shape)

        return slopes, adjoint


@keras.saving.register_keras_serializable(package="tf4dvar")
class BilinearODE(ODE):
    """A general bilinear ODE, to identify dynamics from data (ref. [15] of the paper).

        dx_i/dt = c_i + sum_j A_ij x_j + sum_{j<=k} B_ijk x_j x_k

    Call arguments:
        state: [batch, time, *space, variable].

    Returns:
        dx/dt, same shape, per unit of time.
    """

    def build(self, input_shape):
        """Create the constant, linear and bilinear coefficients, all zero."""
        n = input_shape[-1]
        first, second = np.triu_indices(n)
        # Products are taken between matrix products with one-hot columns: tf.gather would
        # have a slow, scattered gradient.
        self._first, self._second = np.eye(n)[:, first], np.eye(n)[:, second]
        self.constant = self.add_weight(shape=(n,), initializer="zeros", name="constant")
        self.linear = self.add_weight(shape=(n, n), initializer="zeros", name="linear")
        self.bilinear = self.add_weight(shape=(len(first), n), initializer="zeros", name="bilinear")

    def with_adjoint(self, state):
        """The right-hand side and its adjoint; see `tf4dvar.layers.adjoint`."""
        first = tf.constant(self._first, state.dtype)
        second = tf.constant(self._second, state.dtype)
        left, right = tf.matmul(state, first), tf.matmul(state, second)
        slopes = (
            self.constant + tf.matmul(state, self.linear) + tf.matmul(left * right, self.bilinear)
        )

        def adjoint(residual):
            product = tf.matmul(residual, self.bilinear, transpose_b=True)
            return (
                tf.matmul(residual, self.linear, transpose_b=True)
                + tf.matmul(product * right, first, transpose_b=True)
                + tf.matmul(product * left, second, transpose_b=True)
            )

        return slopes, adjoint
