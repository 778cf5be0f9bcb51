"""What a classical method of fields is given: maps with gaps, and what is known besides."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.runtime import check_memory

# Of the memory: observations, maps, their errors and what a method makes of them.
COPIES = 8


@dataclass(frozen=True)
class FieldProblem:
    """Maps of one quantity to reconstruct.

    Attributes:
        observations: [member, time, y, x], physical units, NaN = not observed. Members are
            independent of each other.
        noise_variance: of the observations' errors, a number or an array broadcastable to them.
        times: [time], days, ascending.
        grid: where the points are, and land. What is observed on land does not count.
        states: examples of whole fields at the same grid, [sample, time, y, x], of regular times
            one `time_step` apart, for methods that learn from some; None where there are none.
        first_guess: maps to begin with, as the observations, for methods that take some.

    Raises:
        InputError: shapes do not fit, a member has no observation, there is only one time, times
            do not ascend, a variance is not positive, or the memory is too small.

    Usage:

        from tf4dvar.classical.fields import FieldProblem
        from tf4dvar.data.grid import Grid

        observations = np.full((1, 5, 8, 8), np.nan)
        observations[:, ::2, ::3] = 1.0
        grid = Grid(np.arange(8.0), np.arange(8.0))
        problem = FieldProblem(observations, 0.01, np.arange(5.0), grid)
        assert problem.observed.sum() == 72
    """

    observations: np.ndarray
    noise_variance: float | np.ndarray
    times: np.ndarray
    grid: Grid
    states: np.ndarray | None = None
    first_guess: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.observations)
        expected = f"[member, {len(self.times)} times, {self.grid.shape[0]}, {self.grid.shape[1]}]"
        if len(shape) != 4 or shape[1:] != (len(self.times), *self.grid.shape) or not shape[0]:
            raise InputError(f"Received maps of shape {shape}; expected {expected}.")
        if len(self.times) < 2:
            raise InputError("Received maps of a single time; expected a series of them.")
        if not np.isfinite(self.times).all() or not (np.diff(self.times) > 0).all():
            raise InputError("Received times that do not ascend; expected days, each once.")
        self._check_memory()
        self._check_noise()
        infinite = int(np.isinf(self.observations).sum())
        if infinite:
            raise InputError(
                f"Received {infinite} infinite observations; expected numbers, NaN where not "
                "observed."
            )
        without = [number for number, each in enumerate(self.observed) if not each.any()]
        if without:
            raise InputError(
                f"Received no observation{' off land' if self.grid.land is not None else ''} in "
                f"the member{'s'[: len(without) > 1]} {', '.join(map(str, without))}; expected one "
                "at least."
            )
        for name, given, leading in (
            ("states", self.states, ()),
            ("a first guess", self.first_guess, shape[:2]),
        ):
            if given is None:
                continue
            fits = given.ndim == 4 and given.shape[: len(leading)] == leading
            if not fits or given.shape[2:] != shape[2:] or not np.isfinite(self._at_sea(given)):
                raise InputError(
                    f"Received {name} of shape {given.shape}; expected finite fields like the "
                    f"observations, {expected}."
                )

    def _at_sea(self, fields):
        """A number that is finite where all values off land are."""
        return fields[..., self.grid.sea].sum()

    def _check_memory(self):
        check_memory(
            COPIES * 8 * np.size(self.observations),
            f"Received maps of shape {np.shape(self.observations)}",
            "Take fewer days or a part of the grid.",
        )

    def _check_noise(self):
        try:
            variance = np.broadcast_to(self.noise_variance, np.shape(self.observations))
        except ValueError as error:
            raise InputError(
                f"Received noise variances of shape {np.shape(self.noise_variance)}; expected a "
                f"number, or as the observations, {np.shape(self.observations)}."
            ) from error
        wrong = ~(variance[self.observed] > 0) | np.isinf(variance[self.observed])
        if wrong.any():
            raise InputError(
                f"Received {int(wrong.sum())} noise variances that are zero, negative or no "
                "number; expected a positive one of every observation."
            )

    @property
    def time_step(self) -> float:
        """The median difference of two times, days."""
        return float(np.median(np.diff(self.times)))

    @cached_property
    def observed(self) -> np.ndarray:
        """Which entries are observed, off land, [member, time, y, x]."""
        return ~np.isnan(self.observations) & self.grid.sea

    @cached_property
    def variance(self) -> np.ndarray:
        """The noise variance of every entry, [member, time, y, x]."""
        return np.broadcast_to(
            np.asarray(self.noise_variance, "float64"), np.shape(self.observations)
        )

    def with_first_guess(self, first_guess: np.ndarray | None) -> "FieldProblem":
        """The same with a first guess."""
        return replace(self, first_guess=first_guess)
