"""What is withheld of observations for a model to learn from, and how far from the others it is."""

import numpy as np

from tf4dvar.evaluation.metrics import mean_where_known

# Share of the observations that is withheld one by one.
SINGLE = 0.1


def withheld_from(observations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which observations to withhold: a tenth, and in every other window as gaps lie elsewhere.

    A component is withheld where it is missing in another window: the gaps that are to be learned
    are those of the data.

    Args:
        observations: [window, time, *space, component].
        rng: draws them.
    """
    windows, *_, components = observations.shape
    missing = np.isnan(observations)[rng.permutation(windows)]
    beside = (windows, *[1] * (observations.ndim - 2), components)
    elsewhere = missing & (rng.random(beside) < 0.5)
    return (elsewhere | (rng.random(observations.shape) < SINGLE)) & np.isfinite(observations)


def distance(observations: np.ndarray) -> np.ndarray:
    """Steps to the nearest observation of the place in the window, 1 at least.

    Args:
        observations: [window, time, *space, component].
    """
    observed = np.isfinite(observations)
    steps = observations.shape[1]
    times = np.arange(steps, dtype=float).reshape(-1, *[1] * (observations.ndim - 2))
    last = np.maximum.accumulate(np.where(observed, times, -np.inf), axis=1)
    following = np.minimum.accumulate(np.where(observed, times, np.inf)[:, ::-1], axis=1)[:, ::-1]
    return np.clip(np.minimum(times - last, following - times), 1.0, steps)


def interpolated(observations: np.ndarray) -> np.ndarray:
    """Linear interpolation in time; the mean of the others where a window has nothing, or NaN.

    Args:
        observations: [window, time, *space, component], NaN = not observed.
    """
    filled = observations.copy()
    times = np.arange(observations.shape[1])
    # A view: what is filled in a row is filled in the windows.
    by_place = np.moveaxis(filled, 1, -1)
    for place in np.ndindex(by_place.shape[:-1]):
        row = by_place[place]
        known = np.isfinite(row)
        if known.any():
            row[:] = np.interp(times, times[known], row[known])
    return np.where(np.isnan(filled), mean_where_known(filled, filled, kept=-1), filled)
