"""Error covariances and what follows from them."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tf4dvar.errors import InputError, shown
from tf4dvar.systems import System, random_stream, sample_windows

Covariance = float | np.ndarray
"""A variance, a vector of variances, or a full covariance matrix."""


class Gaussian(NamedTuple):
    """A background: what is known of a state before any observation.

    Attributes:
        mean: [component], physical units.
        covariance: in full, its diagonal, or a variance for all components.
    """

    mean: np.ndarray
    covariance: Covariance

    def precision(self) -> np.ndarray:
        """The inverse of the covariance, [component, component]."""
        return np.linalg.inv(covariance_matrix(self.covariance, len(self.mean)))

    def draw(self, rng: np.random.Generator, *size: int) -> np.ndarray:
        """Random states, [*size, component]."""
        matrix = covariance_matrix(self.covariance, len(self.mean))
        return rng.multivariate_normal(self.mean, matrix, size=size)


def climatology(system: System) -> Gaussian:
    """Mean and covariance of the states on a system's attractor.

    Args:
        system: the dynamical system; simulated for 400 trajectories of 5000 steps.
    """
    return _climatology(system, system.time_step)


@lru_cache(maxsize=8)
def _climatology(system: System, time_step: float) -> Gaussian:
    # The step is no field of a system, by which it would be another one.
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
    check_covariance(matrix)
    return matrix


def check_covariance(matrices: np.ndarray) -> None:
    """Refuse matrices [..., row, column] that are not symmetric and positive definite.

    Raises:
        InputError: one is not.
    """
    symmetric = np.isfinite(matrices).all() and np.allclose(matrices, matrices.swapaxes(-1, -2))
    if not (symmetric and (np.linalg.eigvalsh(matrices)[..., 0] > 0).all()):
        raise InputError(
            f"Received the covariance {shown(matrices.tolist())}; expected a symmetric, positive "
            "one."
        )
