"""How noisy observed maps are, where nothing tells it."""

import numpy as np

from tf4dvar.errors import InputError

# Of what neighbours differ by: a field that is observed without errors has some, too.
LEAST = 1e-3


def noise_variance_of(observations: np.ndarray) -> float:
    """The variance of the errors of observed maps, from differences of neighbours.

    Second differences in x of those in y vanish for what is a sum of fronts along the axes, and of
    independent errors of variance s their mean square is D = 36 s, whatever the lag (Immerkaer
    1996, doi:10.1006/cviu.1996.0060). That of the field grows with the lag, as its eighth power
    where it is smooth, its fourth across fronts; here as the sixth, so that

        s = (64 D(1) - D(2)) / (36 * 63)

    of lags of one and two pixels. Where too few neighbours are observed for both, second
    differences along one axis: D = 6 s, and half the power. What has least of the field is taken.

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
    for axes in (-2, -1), (-2,), (-1,):
        near, far = (_squared_difference(observations, axes, lag) for lag in (1, 2))
        if near is not None:
            growth = 0.0 if far is None else (far - near) / (8 ** len(axes) - 1)
            found.append(max(near - growth, LEAST * near) / 6 ** len(axes))
    if not found or not min(found) > 0:
        raise InputError(
            "Received maps of which nothing tells the noise, and three neighbours are nowhere "
            "observed or all are equal; expected its variance, noise_variance=NUMBER."
        )
    return min(found)


def _squared_difference(values, axes, lag):
    """The mean square of second differences along axes; None where there are none."""
    for axis in axes:
        values = np.moveaxis(values, axis, -1)
        values = values[..., : -2 * lag] - 2 * values[..., lag:-lag] + values[..., 2 * lag :]
        values = np.moveaxis(values, -1, axis)
    known = np.isfinite(values)
    return float(np.square(values[known]).mean()) if known.any() else None
