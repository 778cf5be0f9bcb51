"""What every filter is: an estimate of the state of now, moved on in time and corrected."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tf4dvar.classical.method import Settings, setting
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.tangent_linear import one_step_model
from tf4dvar.errors import DivergenceError
from tf4dvar.systems import random_stream
from tf4dvar.systems.simulation import covariates_of_steps

logger = logging.getLogger(__name__)

FILTERS: dict[str, type["Filter"]] = {}
"""The filters by name; a filter is here as soon as its class is defined."""

# What is not finite is an error of its own.
BEYOND: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}
# Observed times over which innovations are looked at together, and by how much their squares are
# larger than expected, on average, where a filter has lost the truth.
TOGETHER, LOST = 10, 4.0


class Estimate(NamedTuple):
    """What is known of several series at one time.

    Attributes:
        mean: of the state, [series, component], physical units.
        spread: standard deviation of its error, same shape.
        misfit: squares of the innovations by what they are expected to be, by their number,
            [series]; about 1 where both are right, NaN where nothing is observed.
    """

    mean: np.ndarray
    spread: np.ndarray
    misfit: np.ndarray


class Position(NamedTuple):
    """Where a run is, and all that it needs to go on.

    Attributes:
        known: of the series, the filter's own tuple of arrays [series, ...].
        recent: the last misfits of each, [series, observed time]; NaN where there were fewer.
        lost: how often each has been lost so far, [series].
    """

    known: Any
    recent: np.ndarray
    lost: np.ndarray


class Seen(NamedTuple):
    """What one series observes at one time, in units in which errors are independent of size 1.

    Attributes:
        entries: indices of what is observed.
        values: the observations.
        root: what makes these units of H(x), [observed, observed].
        alone: whether errors are independent as they are, so that each value is of one entry.
    """

    entries: np.ndarray
    values: np.ndarray
    root: np.ndarray
    alone: bool

    def of(self, simulated: np.ndarray) -> np.ndarray:
        """H(x) of this series in these units.

        Args:
            simulated: H(x), [..., observed].
        """
        return simulated[..., self.entries] @ self.root


@dataclass(frozen=True)
class Filter(Settings):
    """A filter: a frozen dataclass of its settings.

    A subclass gives `name`, `kind`, `begin`, `forecast`, `update` and `estimate`. What it knows of
    the series is a named tuple of arrays [series, ...], all that it needs to go on.

    Usage:

        from tf4dvar.classical import Problem
        from tf4dvar.classical.cycled import EnKF
        from tf4dvar.systems import Lorenz63

        problem = Problem(observations, None, 2.0, system=Lorenz63())
        means = [estimate.mean for _, estimate in EnKF(members=10).run(problem)]
    """

    registry = FILTERS
    kind: ClassVar[type]
    """Of what it knows."""
    needs_flow: ClassVar[bool] = False
    """Whether it takes derivatives of the dynamics."""
    needs_dynamics: ClassVar[bool] = True
    """Whether it goes by the dynamics of the problem; else it is a model, its `network`."""
    in_windows: ClassVar[bool] = False
    """Whether it gives several times at once, of windows, and so none at once."""
    advice: ClassVar[str] = "take more members or more inflation"
    """What may keep it from losing the truth."""
    seed: int = setting(0, "Same seed, same states.", at_least=0)

    def run(
        self,
        problem: Problem,
        position: Position | None = None,
        first: int = 0,
        restart: bool = False,
        between: bool = True,
        ends: bool = True,
    ) -> Iterator[tuple[Position, Estimate]]:
        """Go through series, time by time.

        A series is lost where what is known is not finite, or where innovations are far larger
        than it has them, over ten observed times. The log says so, once of each series, or each
        time that it begins anew.

        Args:
            problem: of the series; a long one is given in pieces, each beginning with the last
                time of the one before.
            position: where a piece goes on, at its first time; None at the beginning.
            first: the number of the problem's first time.
            restart: whether what is lost begins anew with the background.
            between: whether to give the times between observations, too; without it goes faster.
            ends: whether no piece comes after; a smoother gives the last times then.

        Yields:
            The position at every time, after its observations; of a piece from its second on.
            Without those between the first, the last and every observed time.

        Raises:
            DivergenceError: what is known is not finite, and does not begin anew.
        """
        move = self.mover(problem)
        count, steps = len(problem.observations), problem.shape[1]
        is_observed: Any = problem.observed.any(axis=(0, 2))
        reached = 0
        for time in range(steps):
            if not (between or is_observed[time] or time in (0, steps - 1)):
                continue
            rng = random_stream("filter", self.seed, first + time)
            if position is None:
                position = self._beginning(problem, rng)
            elif time:
                known = position.known
                with np.errstate(**BEYOND):
                    for step in range(reached, time):
                        known = self.forecast(problem, known, move, step, rng)
                # Sums depend on how arrays lie in memory, which what a piece has kept does not say.
                known = self.kind(*map(np.ascontiguousarray, known))
                position = position._replace(known=known)
            else:
                continue
            reached = time
            position = self._finite(problem, position, first + time, restart, rng)
            misfit = np.full(count, np.nan)
            if is_observed[time]:
                seen = [seen_of(problem, series, time) for series in range(count)]
                with np.errstate(**BEYOND):
                    known, misfit = self.update(problem, position.known, seen, move, rng)
                position = position._replace(known=known)
                position = self._finite(problem, position, first + time, restart, rng)
                position = self._near(problem, position, misfit, first + time, restart, rng)
            yield position, Estimate(*self.estimate(position.known), misfit)

    def _beginning(self, problem, rng):
        """The position before anything is observed."""
        return Position(self.begin(problem, rng), *self._unknown(len(problem.observations)))

    def _unknown(self, count):
        """Of so many series no misfits, and none is lost."""
        return np.full((count, TOGETHER), np.nan), np.zeros(count, int)

    def span(self, number: int, length: int, steps: int) -> tuple[int, int] | None:
        """The times that a piece of long series needs, from one on and before another.

        Args:
            number: of the piece.
            length: of pieces.
            steps: of all.

        Returns:
            Those from the last one of the piece before on; None of a piece after the end.
        """
        begin = number * length
        return None if number and begin >= steps - 1 else (begin, min(begin + length + 1, steps))

    def _finite(self, problem, position, time, restart, rng):
        """With what is not finite begun anew, or an error."""
        arrays = position.known
        finite = [np.isfinite(each).reshape(len(each), -1).all(axis=1) for each in arrays]
        diverged = np.flatnonzero(~np.all(finite, axis=0))
        if not diverged.size:
            return position
        what = (
            f"{self.name} diverges at time {time}, in {diverged.size} of {len(arrays[0])} series, "
            f"the first of them number {diverged[0]}"
        )
        if not restart:
            raise DivergenceError(
                f"{what}. Look at the units of the observations, and {self.advice}."
            )
        logger.warning("%s; they begin anew with the background.", what)
        return self._anew(problem, position, diverged, rng)

    def _near(self, problem, position, misfit, time, restart, rng):
        """With misfits looked at, and what is far from its observations begun anew."""
        recent = position.recent.copy()
        observed = ~np.isnan(misfit)
        recent[observed] = np.column_stack([recent[observed, 1:], misfit[observed]])
        means = recent.mean(axis=1)
        position = position._replace(recent=recent)
        lost = np.flatnonzero(means > LOST)
        new = lost if restart else lost[position.lost[lost] == 0]
        if new.size:
            logger.warning(
                "%s has lost %d of %d series at time %d, the first of them number %d: squares of "
                "innovations are %.1f times as large as it expects; %s",
                *(self.name, new.size, len(means), time, new[0], means[new[0]]),
                "they begin anew with the background." if restart else f"{self.advice}.",
            )
        if restart and lost.size:
            return self._anew(problem, position, lost, rng)
        counts = position.lost.copy()
        counts[lost] += 1
        recent[lost] = np.nan
        return position._replace(lost=counts, recent=recent)

    def _anew(self, problem, position, series, rng):
        """With some series begun anew."""
        begun = self.begin(problem, rng)
        parts = [each.copy() for each in position.known]
        for part, fresh in zip(parts, begun, strict=True):
            part[series] = fresh[series]
        recent, counts = position.recent.copy(), position.lost.copy()
        recent[series] = np.nan
        counts[series] += 1
        return Position(self.kind(*parts), recent, counts)

    def mover(self, problem: Problem) -> Callable[[np.ndarray, int], np.ndarray]:
        """Gives states one step later: `(states [series, ..., component], step)` to the same.

        By the flow; without one by the system, which NumPy steps: for a few states a call of a
        compiled graph takes longer.

        Args:
            problem: with a flow, or a system.
        """
        known = problem.covariates
        if problem.flow is None:
            system = problem.required_system()
            parts = None if known is None else covariates_of_steps(known)

            def move(states, time):
                if parts is None:
                    return system.step(states)
                shape = (len(states), *(1,) * (states.ndim - 2), -1)
                first, middle, last = (each[:, time].reshape(shape) for each in parts)
                return system.step(states, covariates=(first, middle, last))

            return move
        model = one_step_model(problem.flow, problem.components)
        steps = problem.covariates_of_steps

        def move_by_flow(states, time):
            if steps is None:
                return model.forecast(states)
            beside = steps[:, time].reshape(len(states), *(1,) * (states.ndim - 2), -1)
            return model.forecast(
                states, np.broadcast_to(beside, (*states.shape[:-1], beside.shape[-1]))
            )

        return move_by_flow

    def begin(self, problem: Problem, rng: np.random.Generator) -> Any:
        """What is known before the first observation: the background."""
        raise NotImplementedError

    def forecast(self, problem, state, move, time, rng) -> Any:
        """What is known one step later.

        Args:
            problem: as of `run`.
            state: what is known.
            move: states one step later, see `mover`.
            time: the number of the step.
            rng: of this time.
        """
        raise NotImplementedError

    def update(self, problem, state, seen: list[Seen], move, rng) -> tuple[Any, np.ndarray]:
        """What is known with the observations of a time, and the misfit, see `Estimate`.

        Args:
            problem, state: as of `forecast`.
            seen: of each series.
            move: as of `forecast`.
            rng: of this time.
        """
        raise NotImplementedError

    def estimate(self, state) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread, [series, component] each."""
        raise NotImplementedError


def misfit_of(innovation: np.ndarray, covariance: np.ndarray) -> float:
    """The square of an innovation by what it is expected to be, by the number of observations.

    Args:
        innovation: observed less forecast, in units of the observations' errors, [observed].
        covariance: of the forecast's errors in these units, [observed, observed].
    """
    total = covariance + np.eye(len(innovation))
    return float(innovation @ np.linalg.solve(total, innovation)) / len(innovation)


def seen_of(problem: Problem, series: int, time: int) -> Seen:
    """What a series observes at a time.

    Args:
        problem: of the series.
        series, time: their numbers.
    """
    entries = np.flatnonzero(problem.observed[series, time])
    values = problem.values[series, time, entries]
    covariance = problem.covariance(series, time)[entries][:, entries]
    alone = np.count_nonzero(covariance) == len(entries)
    inverse = np.linalg.inv(covariance if alone else np.linalg.cholesky(covariance))
    root = np.sqrt(inverse) if alone else inverse.T
    return Seen(entries, values @ root, root, alone)
