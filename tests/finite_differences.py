"""Derivatives by central differences, the independent reference."""

import numpy as np


def directional_derivative(function, point, direction, step=1e-5):
    """d function(point + s direction) / ds at s = 0, by a fourth-order central difference."""

    def at(s):
        return np.asarray(function(point + s * direction))

    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
