"""A model on windows that slide over a series."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tf4dvar.classical import Problem
from tf4dvar.classical.cycled import Estimate, Filter, Position
from tf4dvar.classical.method import setting
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream

if TYPE_CHECKING:
    from tf4dvar.models import FourDVarNet


class Given(NamedTuple):
    """What a window hands on: the number of times that are given, [series]."""

    times: np.ndarray


@dataclass(frozen=True)
class ModelFilter(Filter):
    """A model of windows, each window with all that was observed in it.

    Nothing but observations is handed from window to window, so that an error does not outlive
    them. A time is given by the first window that goes on for `lag` steps after it: 0 is a filter,
    where every time is the last or nearly of its window; more is a smoother, and at a series' end
    the last window gives what is left. It needs no dynamics but those that the model has.
    """

    name = "model"
    kind = Given
    needs_dynamics = False
    in_windows = True
    advice = "take a model that was trained on windows observed like these, or longer windows"
    model: str = setting("l63", "A published model, or a file or folder of one.")
    window: int = setting(200, "Times of a window, best those of the training.", at_least=2)
    advance: int = setting(20, "Steps from one window to the next.", at_least=1)
    lag: int = setting(0, "Steps of a window after a time that it gives.", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.advance + self.lag > self.window:
            raise InputError(
                f"Received window={self.window}, advance={self.advance} and lag={self.lag}; "
                "expected windows as long as the others together, which leave out nothing."
            )

    @property
    def network(self) -> "FourDVarNet":
        """The model."""
        return loaded(self.model)

    def run(
        self,
        problem: Problem,
        position: Position | None = None,
        first: int = 0,
        restart: bool = False,
        between: bool = True,
        ends: bool = True,
    ) -> Iterator[tuple[Position, Estimate]]:
        """Go through series, all windows of a piece at once; see `Filter.run`.

        Args:
            problem: of the series; a long one is given in pieces, see `span`.
            position: as there.
            first: the number of the problem's first time, where a window begins.
            restart: changes nothing, as nothing is remembered.
            between, ends: as there.

        Yields:
            The position, and the estimate, of each of the times that the windows give.
        """
        count, steps = problem.shape[:2]
        rng = random_stream("filter", self.seed, first)
        if position is None:
            position = Position(Given(np.zeros(count, int)), *self._unknown(count))
        starts = [*range(0, max(0, steps - self.window), self.advance), max(0, steps - self.window)]
        states, spread = self._reconstructed(problem, starts)
        misfits = _misfits(problem, states, starts)
        is_observed: Any = problem.observed.any(axis=(0, 2))
        for number, start in enumerate(starts):
            stop = min(start + self.window, steps)
            until = stop if ends and stop == steps else stop - self.lag
            for time in range(int(position.known.times[0]) - first, until):
                at = number, time - start
                misfit = misfits[:, *at]
                position = position._replace(known=Given(np.full(count, first + time + 1)))
                position = self._near(problem, position, misfit, first + time, False, rng)
                if between or is_observed[time]:
                    yield position, Estimate(states[:, *at], spread[:, *at], misfit)

    def span(self, number: int, length: int, steps: int) -> tuple[int, int] | None:
        """The times of a piece: of some windows, all.

        Args:
            number: of the piece.
            length: of pieces, about.
            steps: of all.
        """
        last = max(0, steps - self.window)
        windows = -(-last // self.advance) + 1
        together = max(1, length // self.advance)
        begin, end = number * together, min((number + 1) * together, windows) - 1
        if begin >= windows:
            return None
        starts = [min(each * self.advance, last) for each in (begin, end)]
        return starts[0], min(starts[1] + self.window, steps)

    def _reconstructed(self, problem, starts):
        """States and spread of all windows, [series, window, time, component]."""
        if problem.observation_operator is not None:
            raise InputError(
                "Received an observation operator; a model has its own, from its training. Mark "
                "components that are not observed with NaN."
            )
        model = self.network

        def windows_of(values):
            """[series * window, time, entry]."""
            cut = np.stack([values[:, start : start + self.window] for start in starts], axis=1)
            return cut.reshape(-1, *cut.shape[2:]).astype("float32")

        given = {"observations": windows_of(problem.observations)}
        if model.noise_variance is not None:
            with np.errstate(divide="ignore"):
                variance = 1 / problem.inverse_variance
            given["noise_variance"] = windows_of(np.where(problem.observed, variance, np.nan))
        if problem.covariates is not None:
            given["covariates"] = windows_of(problem.covariates)
        if model.uncertainty is None:
            mean = model.predict(given, verbose=0)
            spread = np.full(mean.shape, np.nan)
        else:
            mean, spread = model.posterior(given)
        shape = (len(problem.observations), len(starts), *mean.shape[1:])
        return mean.reshape(shape).astype("float64"), spread.reshape(shape).astype("float64")


def _misfits(problem, states, starts):
    """Squares of what observations are off by, in units of the noise, [series, window, time]."""
    length = states.shape[2]

    def windows_of(values):
        return np.stack([values[:, start : start + length] for start in starts], axis=1)

    seen = windows_of(problem.observed)
    squares = np.square(windows_of(problem.values) - states) * windows_of(problem.inverse_variance)
    number = seen.sum(axis=-1)
    total = np.where(seen, squares, 0.0).sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


@lru_cache(maxsize=4)
def loaded(name: str) -> "FourDVarNet":
    """A model, kept.

    Args:
        name: of a published one, or its path.
    """
    from tf4dvar.models import load_model

    return load_model(name)
