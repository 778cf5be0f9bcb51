"""What every classical method returns."""

from typing import NamedTuple

import numpy as np


class Analysis(NamedTuple):
    """Reconstructed states and how they were reached.

    Attributes:
        states: [window, time, component], physical units.
        costs: of each window, [window]; the method says which cost.
        iterations: of each window, [window].
        converged: whether each window's iteration ended by itself, [window].
        seconds_per_window: wall clock, of all windows together over their number.
        spread: standard deviation of the error as the method estimates it, shape and units of
            `states`; None where it does not.
    """

    states: np.ndarray
    costs: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    seconds_per_window: float
    spread: np.ndarray | None = None
