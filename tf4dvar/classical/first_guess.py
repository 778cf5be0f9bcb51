"""The first guess of the methods over whole windows."""

import numpy as np

from tf4dvar.classical.problem import Problem


def first_guess(problem: Problem) -> np.ndarray:
    """The first guess of a problem, else linear interpolation in time, 0 where never observed.

    What an observation operator sees goes back through its pseudo-inverse; that of a function is
    taken at the mean of the background.

    Args:
        problem: the windows.

    Returns:
        [window, time, component], physical units.
    """
    if problem.first_guess is not None:
        return np.asarray(problem.first_guess, float)  # of a model it may be in single precision
    operator = problem.operator
    mean = np.zeros(problem.components)
    if not operator.linear and problem.prior is not None:
        mean = problem.prior.mean
    jacobian = operator.jacobian(mean)
    if jacobian is None:
        return _interpolated(problem.values, problem.observed)
    departures = np.where(problem.observed, problem.values - operator(mean), 0.0)
    return mean + _interpolated(departures, problem.observed) @ np.linalg.pinv(jacobian).T


def _interpolated(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    from tf4dvar.layers import LinearInterpolation

    layer = LinearInterpolation(dtype="float64")
    return layer(tf.constant(values, tf.float64), tf.constant(observed, tf.float64)).numpy()
