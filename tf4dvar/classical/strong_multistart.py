"""Strong-constraint 4DVar from several first guesses."""

from dataclasses import dataclass

import numpy as np

from tf4dvar.classical.levenberg_marquardt import Minimum
from tf4dvar.classical.method import Method, setting
from tf4dvar.classical.strong import minimise, minimum_from
from tf4dvar.systems import random_stream


@dataclass(frozen=True)
class StrongMultistart(Method):
    """Strong-constraint 4DVar from several first guesses, the lowest cost kept.

    One is the mean of the background, the others are drawn from it. Iterations are those of the
    first guess that won.
    """

    name = "strong-multistart"
    takes_background = True
    starts: int = setting(10, "Number of first guesses.", at_least=1)
    seed: int = setting(0, "Same seed, same states.", at_least=0)

    def solve(self, problem, progress):
        """See `Method.analyse`."""
        rng = random_stream("4DVar starts", self.seed)

        def search(cost, means):
            best = minimum_from(cost, means)
            for first_guess in cost.background.draw(rng, self.starts - 1, len(means)):
                best = _better(best, minimum_from(cost, first_guess))
            return best

        return minimise(problem, search, progress)


def _better(first: Minimum, second: Minimum) -> Minimum:
    """Of every window the minimum of lower cost."""
    wins = second.costs < first.costs
    return Minimum(
        *(
            np.where(wins.reshape(-1, *[1] * (new.ndim - 1)), new, old)
            for old, new in zip(first, second, strict=True)
        )
    )
