"""Error covariances and what follows from them."""

from typing import NamedTuple

import numpy as np

from tf4dvar.errors import InputError
from tf4dvar.systems import System, random_stream, sample_windows

Covariance = float | np.ndarray
"""A variance, a vector of variances, or a full covariance matrix."""



class Gaussian(NamedTuple):
    """A background: what is known of a state before any observation.

    Attributes:
        mean: [component], physical units.
        covariance: [component, component].
    """

    mean: np.ndarray
    covariance: np.ndarray


def climatology(system: System) -> Gaussian:
    """Mean and covariance of the states on a system's attractor."""
    # The first half lets the slow transients around unstable fixed points die out.
    trajectories = sample_windows(system, 400, 5000, random_stream("climatology"))
    states = trajectories[:, 2500::50].reshape(-1, trajectories.shape[-1])
    return Gaussian(states.mean(axis=0), np.cov(states, rowvar=False))


def covariance_matrix(covariance: Covariance, components: int) -> np.ndarray:
    """A covariance given by a scalar, a diagonal or in full as a matrix [component, component].

    Raises:
        InputError: another shape, or not positive definite.
    """
    values = np.asarray(covariance, float)
    if values.shape not in ((), (components,), (components, components)):
        raise InputError(
            f"Received a covariance of shape {values.shape}; expected a scalar, {components} "
            f"variances, or a matrix of {components} x {components}."
        )
    matrix = values if values.ndim == 2 else values * np.eye(components)
    if not (np.allclose(matrix, matrix.T) and np.linalg.eigvalsh(matrix)[0] > 0):
        raise InputError(
            f"Received the covariance {values.tolist()}; expected a symmetric, positive one."
        )
    return matrix


def observation_precision(covariance: Covariance, observed: np.ndarray) -> np.ndarray:
    """Inverse error covariance of what is observed at each time, zero for all else.

    Args:
        covariance: of the errors of all components.
        observed: [window, time, component].

    Returns:
        [window, time, component, component].
    """
    components = observed.shape[-1]
    matrix = covariance_matrix(covariance, components)
    both = observed[..., :, None] & observed[..., None, :]
    # Ones on the diagonal where nothing is observed make the observed block's inverse stand.
    filled = np.where(both, matrix, (~observed)[..., None] * np.eye(components))
    return np.where(both, np.linalg.inv(filled), 0.0)
