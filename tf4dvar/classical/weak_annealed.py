"""Weak-constraint 4DVar with a model error that is annealed."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from tf4dvar.classical.method import Method, setting
from tf4dvar.classical.weak_cost import covariance_terms
from tf4dvar.classical.weak_gauss_newton import ITERATIONS, minimise_in_stages
from tf4dvar.errors import InputError

# First and last variance of the model error from interpolation, and from a first guess.
COLD, WARM = (10.0, 1e-6), (0.1, 1e-4)


@dataclass(frozen=True)
class WeakAnnealed(Method):
    """Weak-constraint 4DVar whose model error falls to almost nothing.

    The observations lead at first and the dynamics in the end: the strong constraint is reached
    by a way with few local minima. Costs and convergence are those of the last stage.
    """

    name = "weak-annealed"
    takes_background = True
    takes_first_guess = True
    first: float | None = setting(
        None,
        f"First variance of the model error: {COLD[0]:g}, or {WARM[0]:g} from a first guess.",
        positive=True,
    )
    last: float | None = setting(
        None,
        f"Last variance of the model error: {COLD[1]:g}, or {WARM[1]:g} from a first guess.",
        positive=True,
    )
    steps: int | None = setting(
        None, "Gauss-Newton steps in all, at most; the stages share them.", at_least=1
    )

    def solve(self, problem, progress):
        """See `Method.analyse`."""
        first, last = COLD if problem.first_guess is None else WARM
        variances = annealing(
            first if self.first is None else self.first, last if self.last is None else self.last
        )
        if self.steps is not None and self.steps < len(variances):
            raise InputError(
                f"Received steps={self.steps} for {len(variances)} stages; expected one step for "
                "each at least."
            )
        share = ITERATIONS if self.steps is None else self.steps // len(variances)
        stages = [partial(covariance_terms, model_covariance=each) for each in variances]
        return minimise_in_stages(problem, stages, share, progress)


def annealing(first: float, last: float) -> np.ndarray:
    """Variances of the model error that fall tenfold from stage to stage.

    Args:
        first, last: variance in the first and the last stage.

    Raises:
        InputError: not 0 < last <= first.
    """
    if not 0 < last <= first:
        raise InputError(f"Received first={first} and last={last}; expected 0 < last <= first.")
    return np.geomspace(first, last, round(np.log10(first / last)) + 1)
