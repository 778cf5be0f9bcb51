"""Whether states fit their observations as far as noise allows."""

import numpy as np
from scipy.special import chdtrc

from tf4dvar.systems.axes import axes_but

# Probability that noise departs by so much. Of windows as in training the published models have
# none below; three steps later those that are wrong have all of theirs.
IMPLAUSIBLE = 1e-6


def implausible(departures: np.ndarray, variance: float | np.ndarray) -> np.ndarray:
    """Windows whose states are farther from the observations than noise can be.

    The sum of squared departures, each by the variance of its noise, has a chi-square distribution
    around the truth, and states that fit are nearer than that.

    Args:
        departures: y - H(x), [window, time, *space, observed], NaN where not observed.
        variance: of the noise, broadcastable to them.

    Returns:
        Whether noise would be as far off in less than one of a million, [window]; what is not
        finite is farther than any, where something is observed.
    """
    observed = ~np.isnan(departures)
    within = axes_but(0, departures)
    with np.errstate(over="ignore"):
        squares = np.square(departures.astype("float64")) / variance
    total, count = np.where(observed, squares, 0.0).sum(within), observed.sum(within)
    return (count > 0) & ~(chdtrc(np.maximum(count, 1), total) >= IMPLAUSIBLE)
