"""What every classical method of fields is: settings that tell themselves, and an analysis."""

import time
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from tf4dvar.classical.analysis import Progress
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.classical.method import Settings
from tf4dvar.errors import InputError

FIELD_METHODS: dict[str, type["FieldMethod"]] = {}
"""The classical methods of fields by name; see `tf4dvar.classical.METHODS`."""


class FieldAnalysis(NamedTuple):
    """Reconstructed maps.

    Attributes:
        states: [member, time, y, x], physical units, NaN on land.
        spread: standard deviation of the error as the method estimates it, shape and units of
            `states`; None where it does not.
        settings: what the method chose or fitted, by name; None where it does not.
        seconds_per_map: wall clock, of all maps together over their number.
    """

    states: np.ndarray
    spread: np.ndarray | None = None
    settings: dict[str, float | str] | None = None
    seconds_per_map: float = 0.0


@dataclass(frozen=True)
class FieldMethod(Settings):
    """A classical method that fills the gaps of maps: a frozen dataclass of its settings.

    A subclass gives `name` and `solve`. With that it is in `FIELD_METHODS`, so that
    `tf4dvar assimilate` and `tf4dvar compare` know it; the first paragraph of its docstring is
    what the command says of it.

    Usage:

        from dataclasses import dataclass
        from tf4dvar.classical.fields import FIELD_METHODS, FieldAnalysis, FieldMethod

        @dataclass(frozen=True)
        class Mean(FieldMethod):
            \"\"\"The mean of all observations.\"\"\"

            name = "mean"

            def solve(self, problem, progress):
                mean = np.nanmean(problem.observations, axis=(1, 2, 3), keepdims=True)
                return FieldAnalysis(np.broadcast_to(mean, problem.observations.shape))

        del FIELD_METHODS["mean"]  # an example only
    """

    registry = FIELD_METHODS
    takes_first_guess: ClassVar[bool] = False
    takes_states: ClassVar[bool] = False
    """Whether it learns from states, at least with some settings."""

    @property
    def learns(self) -> bool:
        """Whether it learns from states as it is set; with others it refuses them."""
        return self.takes_states

    def analyse(self, problem: FieldProblem, progress: Progress | None = None) -> FieldAnalysis:
        """Reconstruct the maps of a problem.

        Args:
            problem: the maps.
            progress: called with the maps (or steps) done and their number.

        Raises:
            InputError: the problem does not fit the method, or a state is not finite.
        """
        if problem.first_guess is not None and not self.takes_first_guess:
            self.refuse("first guess", "takes_first_guess")
        if problem.states is not None and not self.takes_states:
            self.refuse("states", "takes_states")
        if problem.states is not None and not self.learns:
            raise InputError(
                f"{self} learns from no states; expected other settings, see the method, or none."
            )
        started = time.perf_counter()
        analysis = self.solve(problem, progress or (lambda done, total: None))
        members, times, *_ = problem.observations.shape
        if not np.isfinite(analysis.states[..., problem.grid.sea]).all():
            raise InputError(
                f"{self.name} diverges: a state is not finite. Look at the units of the "
                "observations and at the settings."
            )
        sea = problem.grid.sea
        spread = analysis.spread
        return analysis._replace(
            states=np.where(sea, analysis.states, np.nan),
            spread=None if spread is None else np.where(sea, spread, np.nan),
            seconds_per_map=(time.perf_counter() - started) / (members * times),
        )

    def solve(self, problem: FieldProblem, progress: Progress) -> FieldAnalysis:
        """The analysis itself; arguments as for `analyse`."""
        raise NotImplementedError
