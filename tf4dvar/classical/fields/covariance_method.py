"""What methods with a covariance in space and time share: its settings, and how it is fitted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tf4dvar.classical.fields.covariance_fit import DRIFT, Fit, Parameters
from tf4dvar.classical.fields.covariances import KERNELS, KernelCovariance
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
    numbers: ClassVar[tuple[str, ...]] = ("length", "days", "variance", "noise_factor")
    covariance: Literal["fitted", "gaussian", "exponential", "matern", "states"] = setting(
        "fitted",
        "A kernel, of Matern with smoothness 3/2, or that of states; fitted: of states where "
        "there are some, else the likeliest kernel.",
    )
    length: float | None = setting(None, "Of a kernel, km; None: fitted.", positive=True)
    days: float | None = setting(None, "Of a kernel, as length; None: fitted.", positive=True)
    variance: float | None = setting(None, "Of the field; None: fitted.", positive=True)
    noise_factor: float | None = setting(
        None, "By which noise variances are multiplied; None: fitted.", positive=True
    )

    def __post_init__(self):
        super().__post_init__()
        if self.covariance == "states" and self._of_kernel:
            raise InputError(
                f"Received {' and '.join(self._of_kernel)} with the covariance of states, which "
                "takes none; leave it out, or take a kernel."
            )

    @property
    def _of_kernel(self) -> list[str]:
        """Names of what is given of a kernel."""
        return [name for name in self._given if name != "noise_factor"]

    def told(self, parameters: Parameters) -> dict[str, Any]:
        """What of a kernel the method has chosen, for `FieldAnalysis.settings`.

        Args:
            parameters: the best.
        """
        return {name: getattr(parameters, name) for name in ("kernel", *self.numbers)}

    @property
    def _given(self) -> dict[str, float]:
        """The numbers that are given."""
        values = {name: getattr(self, name) for name in self.numbers}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def learns(self):
        """See `FieldMethod`; a kernel does not."""
        return self.covariance == "states" or (self.covariance == "fitted" and not self._of_kernel)

    def of_states(self, problem: FieldProblem) -> bool:
        """Whether the covariance is that of states.

        Args:
            problem: with states or without; see `FieldMethod.learns`.
        """
        return self.covariance == "states" or problem.states is not None

    def kernel(
        self, problem: FieldProblem, members: Sequence[Observations], neighbours: int
    ) -> tuple[Fit, Parameters]:
        """How a kernel and its parameters are fitted, and the best; those given are kept.

        Args:
            problem: the maps.
            members: what is observed of each.
            neighbours: see `Fit`.
        """
        places = problem.grid.positions.reshape(-1, len(problem.grid.box))
        # Of larger scales than its own a data set does not tell.
        most = {
            "length": float(np.ptp(places, axis=0).max()) or 1.0,
            "days": float(np.ptp(problem.times)),
        }
        variance = float(np.mean([each.values.var() for each in members])) or 1.0
        guess = Parameters("", most["length"] / 10, most["days"] / 10, variance, 1.0)
        given = self._given
        kernels = KERNELS if self.covariance == "fitted" else (self.covariance,)
        guesses = [guess._replace(kernel=kernel, **given) for kernel in kernels]
        free = [name for name in self.numbers if name not in given]
        if "days" in given:
            free = [name for name in free if name not in DRIFT]
        known = not free and len(guesses) == 1

        def covariance_of(parameters):
            return self.kind(problem.grid, problem.times, **parameters.of_covariance)

        withheld = [] if known else withhold(members, problem.observations.shape[1:])
        fit = Fit(covariance_of, free, most, variance, withheld, neighbours)
        return fit, guesses[0] if known else fit.best(guesses)
