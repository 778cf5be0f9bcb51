"""Error covariances and what follows from them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tf4dvar.errors import InputError
from tf4dvar.metrics import OBSERVATION_WEIGHT, PRIOR_WEIGHT
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


@dataclass(frozen=True)
class ErrorCovariances:
    """Weights of the weak-constraint cost as inverse error covariances.

    Attributes:
        observation: R, of the observations.
        model: Q, of one step of the model.
    """

    observation: Covariance
    model: Covariance

    def observation_precision(self, observed: np.ndarray) -> np.ndarray:
        """R^-1 of what is observed, [window, time, component, component]."""
        return observation_precision(self.observation, observed)

    def model_precision(self, steps: int, components: int) -> np.ndarray:
        """Q^-1, [component, component]."""
        return np.linalg.inv(covariance_matrix(self.model, components))


@dataclass(frozen=True)
class AveragedTerms:
    """Weights of the weak-constraint cost as the paper writes it (eq. 4, terms averaged).

    Attributes:
        observation_weight: lambda_1, of the mean square over the observed entries.
        prior_weight: lambda_2, of the mean square over all entries.
    """

    observation_weight: float = OBSERVATION_WEIGHT
    prior_weight: float = PRIOR_WEIGHT

    def __post_init__(self) -> None:
        if not (self.observation_weight > 0 and self.prior_weight > 0):
            raise InputError(f"Received {self}; expected positive weights.")

    def observation_precision(self, observed: np.ndarray) -> np.ndarray:
        """lambda_1 over the number of observations, [window, time, component, component]."""
        count = np.maximum(observed.sum(axis=(1, 2)), 1)[:, None, None]
        weights = self.observation_weight * observed / count
        return weights[..., None] * np.eye(observed.shape[-1])

    def model_precision(self, steps: int, components: int) -> np.ndarray:
        """lambda_2 over the number of entries, [component, component]."""
        return self.prior_weight / (steps * components) * np.eye(components)
