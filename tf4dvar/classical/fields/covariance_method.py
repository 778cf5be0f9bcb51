"""What methods with a covariance in space and time share: its settings, and how it is fitted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tf4dvar.classical.fields.covariance_fit import Parameters, fitted
from tf4dvar.classical.fields.covariances import KernelCovariance
from tf4dvar.classical.fields.local_analysis import Observations
from tf4dvar.classical.fields.method import FieldMethod
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.classical.fields.withheld import withhold
from tf4dvar.classical.method import setting
from tf4dvar.errors import InputError


@dataclass(frozen=True)
class CovarianceMethod(FieldMethod):
    """A method of fields whose covariance is a kernel, given or fitted, or that of states."""

    takes_states = True
    kind: ClassVar[type[KernelCovariance]] = KernelCovariance
    covariance: Literal["gaussian", "exponential", "matern", "states"] = setting(
        "matern", "A kernel, of Matern with smoothness 3/2; or estimated from states."
    )
    length: float | None = setting(None, "Of a kernel, km; None: fitted.", positive=True)
    days: float | None = setting(None, "Of a kernel, as length; None: fitted.", positive=True)
    variance: float | None = setting(None, "Of the field; None: fitted.", positive=True)
    noise_factor: float | None = setting(
        None, "By which noise variances are multiplied; None: fitted.", positive=True
    )

    def __post_init__(self):
        super().__post_init__()
        given = [name for name in ("length", "days", "variance") if getattr(self, name)]
        if self.covariance == "states" and given:
            raise InputError(
                f"Received {' and '.join(given)} with the covariance of states, which takes none; "
                "leave it out, or take a kernel."
            )

    @property
    def learns(self):
        """See `FieldMethod`; a kernel does not."""
        return self.covariance == "states"

    def kernel(
        self, problem: FieldProblem, members: Sequence[Observations], neighbours: int
    ) -> tuple[KernelCovariance, dict[str, float]]:
        """A kernel, and its parameters; those that are not given are fitted.

        Args:
            problem: the maps.
            members: what is observed of each.
            neighbours: see `fitted`.
        """
        places = problem.grid.positions.reshape(-1, len(problem.grid.box))
        # Of larger scales than its own a data set does not tell.
        limit = Parameters(
            length=float(np.ptp(places, axis=0).max()) or 1.0,
            days=float(np.ptp(problem.times)),
            variance=np.inf,
            noise_factor=np.inf,
        )
        variance = float(np.mean([each.values.var() for each in members])) or 1.0
        guess = Parameters(limit.length / 10, limit.days / 10, variance, 1.0)
        given = {name: getattr(self, name) for name in guess._fields if getattr(self, name)}

        def covariance_of(parameters):
            length, days, variance, _ = parameters
            return self.kind(problem.grid, problem.times, self.covariance, length, days, variance)

        best, free = guess._replace(**given), [name for name in guess._fields if name not in given]
        if free:
            withheld = withhold(members, problem.observations.shape[1:])
            best = fitted(best, limit, covariance_of, free, withheld, neighbours)
        return covariance_of(best), best._asdict()
