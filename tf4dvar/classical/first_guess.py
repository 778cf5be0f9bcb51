"""Where the minimisation over whole windows starts."""

import numpy as np
import tensorflow as tf

from tf4dvar.layers import LinearInterpolation


def first_guess(observations: np.ndarray) -> np.ndarray:
    """Linear interpolation in time; a component without observations is 0.

    Args:
        observations: [window, time, component], physical units, NaN = not observed.
    """
    observed = ~np.isnan(observations)
    values = tf.constant(np.where(observed, observations, 0.0))
    layer = LinearInterpolation(dtype="float64")
    return layer(values, tf.constant(observed.astype("float64"))).numpy()
