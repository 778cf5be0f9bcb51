"""What ensemble Kalman methods share: localisation, and the analysis of each member."""

from functools import lru_cache

import numpy as np

from tf4dvar.data.grid import distances


def gaspari_cohn(distances: np.ndarray, support: float) -> np.ndarray:
    """Factors on covariances by distance, from one to zero (Gaspari and Cohn 1999, eq. 4.10).

    Args:
        distances: of any shape.
        support: the distance from which they are zero.

    Usage:

        from tf4dvar.classical.ensemble import gaspari_cohn

        assert np.allclose(gaspari_cohn(np.array([0.0, 4.0, 8.0]), 8.0), [1, 5 / 24, 0])
    """
    r = 2 * distances / support
    near = 1 + r**2 * (-5 / 3 + r * (5 / 8 + r * (1 / 2 - r / 4)))
    with np.errstate(divide="ignore"):
        far = 4 - 2 / (3 * r) + r * (-5 + r * (5 / 3 + r * (5 / 8 + r * (-1 / 2 + r / 12))))
    return np.where(r <= 1, near, np.where(r <= 2, far, 0.0))


@lru_cache(maxsize=8)
def circle_taper(components: int, support: float) -> np.ndarray:
    """The same of components on a circle with each other, [component, component].

    Args:
        components: their number.
        support: in components, see `gaspari_cohn`.
    """
    places = np.arange(float(components))[:, None]
    return gaspari_cohn(distances(places, places, np.array([components])), support)


def weights_of_members(
    innovation: np.ndarray,
    anomalies: np.ndarray,
    covariance: np.ndarray,
    correlation: np.ndarray,
    noise: np.ndarray | None,
) -> np.ndarray:
    """By which the covariances with observations, P H^T, are multiplied to update each member.

    All in units of the observations' errors.

    Args:
        innovation: of the mean, observed - simulated, [..., observation].
        anomalies: of what the members simulate, [..., member, observation].
        covariance: H P H^T, [..., observation, observation].
        correlation: of the errors, the same shape.
        noise: by which observations are perturbed, as the anomalies; None for the update of
            Whitaker and Hamill (2002), which needs none.

    Returns:
        [..., member, observation]. Their mean over members is (H P H^T + R)^-1 innovation.
    """
    total = covariance + correlation
    if noise is not None:
        wanted = innovation[..., None, :] - anomalies + noise
        return np.linalg.solve(total, wanted.swapaxes(-1, -2)).swapaxes(-1, -2)
    # Potter's gain with symmetric roots: P H^T [(S^1/2 + R^1/2) S^1/2]^-1.
    root = square_root(total)
    mean = np.linalg.solve(total, innovation[..., None]).swapaxes(-1, -2)
    reduced = np.linalg.inv((root + square_root(correlation)) @ root)
    return mean - anomalies @ reduced.swapaxes(-1, -2)


def square_root(matrices: np.ndarray) -> np.ndarray:
    """Symmetric square roots of symmetric matrices, none of them negative.

    Args:
        matrices: [..., row, column].
    """
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ vectors.swapaxes(-1, -2)
