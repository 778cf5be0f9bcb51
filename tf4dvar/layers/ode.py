"""Ordinary differential equations whose right-hand side is bilinear."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.checks import check_components


@keras.saving.register_keras_serializable(package="tf4dvar")
class Lorenz63ODE(keras.layers.Layer):
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
        state: [batch, time, 3], physical units.

    Returns:
        dx/dt, same shape, per unit of time.
    """

    TRUTH = (-10.0, 10.0, 0.0, -1.0, 28.0, -1.0, -8.0 / 3.0, 0.0, 1.0)

    def __init__(self, coefficients: Sequence[float] = TRUTH, **kwargs):
        super().__init__(**kwargs)
        if len(coefficients) != 9:
            raise ValueError(f"Received {len(coefficients)} coefficients; expected 9.")
        self.initial_coefficients = tuple(float(value) for value in coefficients)

    def build(self, input_shape):
        """Create the nine coefficients."""
        check_components(self, input_shape, 3)
        self.coefficients = self.add_weight(
            shape=(3, 3),
            initializer=keras.initializers.Constant(np.reshape(self.initial_coefficients, (3, 3))),
            name="coefficients",
        )

    def call(self, state):
        """The right-hand side of the three equations."""
        x, y, z = tf.unstack(state, axis=-1)
        a, b, c = tf.unstack(tf.convert_to_tensor(self.coefficients))
        return tf.stack(
            [
                a[0] * x + a[1] * y + a[2] * y * z,
                b[0] * y + b[1] * x + b[2] * x * z,
                c[0] * z + c[1] * x + c[2] * x * y,
            ],
            axis=-1,
        )

    def get_config(self):
        """The initial coefficients."""
        return {**super().get_config(), "coefficients": self.initial_coefficients}


@keras.saving.register_keras_serializable(package="tf4dvar")
class BilinearODE(keras.layers.Layer):
    """A general bilinear ODE, to identify dynamics from data (ref. [15] of the paper).

        dx_i/dt = c_i + sum_j A_ij x_j + sum_{j<=k} B_ijk x_j x_k

    Call arguments:
        state: [batch, time, component].

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

    def call(self, state):
        """Constant, linear and bilinear terms."""
        first = tf.constant(self._first, state.dtype)
        second = tf.constant(self._second, state.dtype)
        products = tf.matmul(state, first) * tf.matmul(state, second)
        return self.constant + tf.matmul(state, self.linear) + tf.matmul(products, self.bilinear)
