"""A first guess from the nearest observations."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.contracts import FirstGuess
from tf4dvar.layers.first_guesses.interpolation import neighbours_in_time, times_second
from tf4dvar.layers.kernels.convolution import check_boundary, checked_boundaries, convolve
from tf4dvar.layers.precise_layer import PreciseLayer


@keras.saving.register_keras_serializable(package="tf4dvar")
class NearestFirstGuess(PreciseLayer, FirstGuess):
    """The nearest observation in time of every place, and of the nearest places where it has none.

    A place without an observation in the window takes, at every time, the mean of those of its
    neighbours that have a value; and so on outwards. Of two observations as near in time the
    earlier one counts. A variable without any in the window is 0, its mean in normalised units.

    Args:
        boundary: what lies beyond the edges of space; see `Convolution`.

    Call arguments:
        observations: [batch, time, *space, variable], 0 where not observed.
        mask: same shape, 1 where observed, else 0.

    Returns:
        The first guess x0, same shape.
    """

    of_observations = True
    # The reach of a neighbourhood is one place.
    kernel_size = 3

    def __init__(self, boundary: str | Sequence[str] = "zero", **kwargs):
        super().__init__(**kwargs)
        check_boundary(boundary)
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)

    def build(self, observations_shape, *_):
        """Look at the axes of space."""
        widths = (1, *[self.kernel_size] * (len(observations_shape) - 3))
        self._boundaries = checked_boundaries(self, observations_shape, widths)

    def call(self, observations, mask):
        """Fill in time, then in space."""
        (left, right), (elapsed, span), observed = neighbours_in_time(observations, mask)
        nearest = tf.where(elapsed <= span - elapsed, left, right)
        values = times_second(tf.where(observed, nearest, 0.0))
        if not self._boundaries:
            return values
        filled, shape = tf.cast(times_second(observed), values.dtype), values.shape
        # Every variable by itself.
        kernel = np.ones((1, *[self.kernel_size] * len(self._boundaries), 1, 1))
        kernel = tf.constant(kernel * np.eye(values.shape[-1]), values.dtype)

        def grow(values, filled):
            count = convolve(filled, kernel, self._boundaries)
            mean = tf.math.divide_no_nan(convolve(values, kernel, self._boundaries), count)
            grown = tf.where(filled > 0, values, mean)
            return tf.ensure_shape(grown, shape), tf.cast(count > 0.5, values.dtype)

        values, _ = tf.while_loop(
            lambda _, filled: tf.reduce_any(filled == 0),
            grow,
            (values, filled),
            shape_invariants=(shape, tf.TensorShape([None] * len(filled.shape))),
            maximum_iterations=tf.reduce_max(tf.shape(values)[2:-1]),
        )
        return values
