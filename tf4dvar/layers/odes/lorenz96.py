"""Lorenz-96 as a bilinear convolution with few parameters."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.checks import check_series
from tf4dvar.layers.contracts import ODE
from tf4dvar.layers.kernels.circular_convolution import convolve_circle, turned

LEFT_OFFSETS = (-2, -1, 0, 1)
RIGHT_OFFSETS = (-1, 0, 1)
# Where each tap stands in the kernel of both convolutions, [tap, offset, 1, left or right].
PLACES = np.zeros((7, 5, 1, 2))
for _tap, _offset in enumerate(LEFT_OFFSETS + RIGHT_OFFSETS):
    PLACES[_tap, 2 + _offset, 0, int(_tap >= 4)] = 1.0


@keras.saving.register_keras_serializable(package="tf4dvar")
class Lorenz96ODE(ODE):
    """Lorenz-96 as a bilinear convolutional ODE with nine coefficients (eq. 16), periodic.

    The product of two short convolutions over the components, damping, and forcing:

        dx_i/dt = (sum_j l_j x_{i+j}) (sum_k r_k x_{i+k}) + d x_i + f

        l_j, j = -2 ... 1        truth: -1, 0, 0, 1
        r_k, k = -1 ... 1        truth: 1, 0, 0
        d, f                     truth: -1, 8

    Multiplying l by a number and dividing r by it changes nothing: learned coefficients are to
    be compared by their products.

    Args:
        coefficients: the nine initial values (l_-2, ..., l_1, r_-1, r_0, r_1, d, f), per unit
            of time; the true ones by default. Freeze them with `trainable=False`.

    Call arguments:
        state: [batch, time, component], physical units, four components or more.

    Returns:
        dx/dt, same shape, per unit of time.
    """

    TRUTH = (-1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, -1.0, 8.0)

    def __init__(self, coefficients: Sequence[float] = TRUTH, **kwargs):
        super().__init__(**kwargs)
        if len(coefficients) != 9:
            raise ValueError(f"Received {len(coefficients)} coefficients; expected 9.")
        self.coefficients = tuple(float(value) for value in coefficients)

    def build(self, input_shape):
        """Create the nine coefficients."""
        check_series(self, input_shape)
        if input_shape[-1] < 4:
            raise ValueError(
                f"{type(self).__name__} received an input of shape {tuple(input_shape)}; "
                "expected four components or more."
            )
        self._coefficients = self.add_weight(
            shape=(9,),
            initializer=keras.initializers.Constant(self.coefficients),
            name="coefficients",
        )

    def with_adjoint(self, state):
        """The right-hand side and its adjoint; see `tf4dvar.layers.adjoint`."""
        components = state.shape[-1]
        coefficients = tf.convert_to_tensor(self._coefficients)
        damping, forcing = coefficients[7], coefficients[8]
        kernel = tf.tensordot(coefficients[:7], tf.constant(PLACES, state.dtype), axes=1)
        rows = tf.reshape(state, (-1, 1, components))
        left, right = tf.unstack(convolve_circle(rows, kernel), axis=1)

        def adjoint(residual):
            r = tf.reshape(residual, (-1, components))
            products = tf.stack([r * right, r * left], axis=1)
            back = convolve_circle(products, turned(kernel))
            return tf.reshape(back, tf.shape(state)) + damping * residual

        return tf.reshape(left * right, tf.shape(state)) + damping * state + forcing, adjoint
