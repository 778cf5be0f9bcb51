"""How noisy observed maps are, where nothing tells it."""

import numpy as np

from tf4dvar.errors import InputError


def noise_variance_of(observations: np.ndarray) -> float:
    """The variance of the errors of observed maps, from second differences of neighbours.

    A field that is linear over three pixels has none, independent errors of variance s have
    6 s (Gasser, Sroka and Jennen-Steinmetz 1986, doi:10.1093/biomet/73.3.625). It is taken along x
    and along y; the smaller is less of the field's own. What of the field is no wider than that
    counts as noise.

    Args:
        observations: [..., y, x], NaN where not observed.

    Raises:
        InputError: nowhere are three neighbours observed, or they tell nothing: all are equal.

    Usage:

        from tf4dvar.filling import noise_variance_of

        y, x = np.mgrid[:50, :50] / 10.0
        noise = 0.1 * np.random.default_rng(0).normal(size=(50, 50))
        assert abs(noise_variance_of(np.sin(x + y) + noise) - 0.01) < 0.002
    """
    found = []
    for axis in -1, -2:
        differences = np.diff(observations, n=2, axis=axis)
        known = np.isfinite(differences)
        if known.any():
            found.append(float(np.square(differences[known]).mean()) / 6)
    if not found or not min(found) > 0:
        raise InputError(
            "Received maps of which nothing tells the noise, and three neighbours are nowhere "
            "observed or all are equal; expected its variance, noise_variance=NUMBER."
        )
    return min(found)
