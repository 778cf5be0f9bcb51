"""Quasi-static strong-constraint 4DVar."""

from dataclasses import dataclass

from tf4dvar.classical.levenberg_marquardt import levenberg_marquardt
from tf4dvar.classical.method import Method
from tf4dvar.classical.strong import minimise, minimum_from

# While the window grows, the minimum only has to be followed.
GROWTH_ITERATIONS, GROWTH_TOLERANCE = 10, 1e-2


@dataclass(frozen=True)
class StrongQuasistatic(Method):
    """Strong-constraint 4DVar over a window that grows step by step.

    Each minimum is the next first guess, so the minimisation stays in the valley of the global
    minimum: quasi-static variational assimilation, Pires, Vautard and Talagrand (1996),
    doi:10.1034/j.1600-0870.1996.00006.x. Iterations are those over the whole window.
    """

    name = "strong-quasistatic"
    takes_background = True

    def solve(self, problem, progress):
        """See `Method.analyse`."""

        def search(cost, control):
            whole = cost.steps
            for time in cost.observed_times[:-1]:
                cost.show(time + 1)
                control = levenberg_marquardt(
                    cost, control, GROWTH_ITERATIONS, GROWTH_TOLERANCE
                ).control
            cost.show(whole)
            return minimum_from(cost, control)

        return minimise(problem, search, progress)
