"""How noisy observed maps are, where nothing tells it."""

import numpy as np

from tf4dvar.errors import InputError

# Of what neighbours differ by: a field that is observed without errors has some, too.
LEAST = 1e-3


def noise_variance_of(observations: np.ndarray) -> float:
    """The variance of the errors of observed maps, from second differences of neighbours.

    Of independent errors of variance s their mean square is D = 6 s, whatever the lag (Gasser,
    Sroka and Jennen-Steinmetz 1986, doi:10.1093/biomet/73.3.625). That of the field grows with the
    lag, as its fourth power where it is smooth, its square across fronts; here as the cube, so that

        s = (8 D(1) - D(2)) / 42

    of lags of one and two pixels. Of x and y the one is taken that has less of the field.

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
        near, far = (
            _squared_difference(np.moveaxis(observations, axis, -1), lag) for lag in (1, 2)
        )
        if near is not None:
            growth = 0.0 if far is None else (far - near) / 7
            found.append(max(near - growth, LEAST * near) / 6)
    if not found or not min(found) > 0:
        raise InputError(
            "Received maps of which nothing tells the noise, and three neighbours are nowhere "
            "observed or all are equal; expected its variance, noise_variance=NUMBER."
        )
    return min(found)


def _squared_difference(values, lag):
    """The mean square of second differences along the last axis; None where there are none."""
    before, at, after = values[..., : -2 * lag], values[..., lag:-lag], values[..., 2 * lag :]
    differences = before - 2 * at + after
    known = np.isfinite(differences)
    return float(np.square(differences[known]).mean()) if known.any() else None
