"""A twin experiment over many cycles, and what methods have there."""

import ast
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tf4dvar.classical import Gaussian, Problem, Progress
from tf4dvar.classical.cycled import FILTERS, Filter
from tf4dvar.errors import InputError, shown
from tf4dvar.evaluation.metrics import gaussian_crps
from tf4dvar.evaluation.time_means import TimeMean, time_mean
from tf4dvar.systems import System, random_stream, trajectories

# Cycles that are simulated, and gone through, at once.
CYCLES = 200


class Case(NamedTuple):
    """A method of a benchmark.

    Attributes:
        method: with its settings.
        published: root of the mean square error that was published; None where none was.
    """

    method: Filter
    published: float | None = None


class Result(NamedTuple):
    """What a method has in a benchmark.

    Attributes:
        rmse: root of the mean square error of the analysis over the state, its mean over cycles.
        spread: the same of the deviation that the method states.
        crps: of a normal distribution with that deviation.
        misfit: squares of the innovations by what they are expected to be; 1 is right.
        seconds: wall clock of a cycle.
        published: see `Case`.
    """

    rmse: TimeMean
    spread: float
    crps: float
    misfit: float
    seconds: float
    published: float | None


class Piece(NamedTuple):
    """Some cycles: all their steps, and the one before.

    Attributes:
        first: the number of the first step.
        truth: [step, component].
        observations: same shape, NaN where not observed.
    """

    first: int
    truth: np.ndarray
    observations: np.ndarray


@dataclass(frozen=True)
class Benchmark:
    """A setting in which methods are compared, with what was published of them.

    Attributes:
        name: short.
        summary: of the setting, a line.
        system: the truth, and what methods forecast by.
        observed: components.
        every: steps between observed times; the first is that many after the beginning.
        noise_variance: of the observations.
        cycles: observed times that are scored.
        burn_in: observed times before these.
        start, start_variance: where the truth begins, at random, and what methods know of it.
        cases: methods by what they are called.

    Usage:

        from tf4dvar.cycling import BENCHMARKS

        results = BENCHMARKS["sakov2008"].run(["EnKF 24"], cycles=50)
        print(results["EnKF 24"].rmse.mean)
    """

    name: str
    summary: str
    system: System
    observed: tuple[int, ...]
    every: int
    noise_variance: float
    cycles: int
    burn_in: int
    start: np.ndarray
    start_variance: float
    cases: Mapping[str, Case]

    def run(
        self,
        names: list[str] | None = None,
        cycles: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> dict[str, Result]:
        """Go through all cycles with each method, on the same truth and observations.

        Args:
            names: of `cases`, or of a filter with its settings, `enkf:members=30`; all of `cases`
                by default.
            cycles: to be scored, in place of its own number.
            seed: of truth and observations.
            progress: called with the cycles done and their number.

        Raises:
            DivergenceError: a method does not stay finite.
            InputError: there is no such method, or none of these settings.
        """
        cases = {name: self.case(name) for name in names or self.cases}
        scored = self.cycles if cycles is None else cycles
        total = len(cases) * (self.burn_in + scored)
        results = {}
        for number, (name, case) in enumerate(cases.items()):
            done = number * (self.burn_in + scored)

            def told(of: int, done: int = done) -> None:
                if progress is not None:
                    progress(done + of, total)

            results[name] = self._result(case, scored, seed, told)
        return results

    def case(self, name: str) -> Case:
        """A method by its name.

        Args:
            name: see `run`.
        """
        if name in self.cases:
            return self.cases[name]
        kind, *given = name.split(":")
        pairs = [each.partition("=") for each in given]
        # An analysis is what is known when it is made: windows that give times later have none.
        filters = {name: of for name, of in FILTERS.items() if not of.in_windows}
        own = [each.name for each in filters[kind].settings()] if kind in filters else []
        if kind not in filters or any(key not in own for key, *_ in pairs):
            raise InputError(
                f"Received the method {shown(name)}; {self.name} has "
                f"{', '.join(self.cases)}. Others are {', '.join(filters)}, each with settings as "
                f"in enkf:members=30" + (f"; {kind} has {', '.join(own)}." if own else ".")
            )
        return Case(filters[kind](**{key: _value(text) for key, _, text in pairs}))

    def pieces(self, cycles: int, seed: int = 0) -> Iterator[Piece]:
        """Truth and observations, the burn-in's first.

        Args:
            cycles: to be scored.
            seed: of both.
        """
        rng = random_stream("benchmark", seed)
        number = len(self.start)
        noise = np.sqrt(self.noise_variance)
        state = self.start + np.sqrt(self.start_variance) * rng.normal(size=number)
        left, first = self.burn_in + cycles, 0
        while left:
            here = min(CYCLES, left)
            truth = trajectories(self.system, state[np.newaxis], here * self.every + 1)[0]
            observations = np.full(truth.shape, np.nan)
            times = np.arange(self.every, len(truth), self.every)
            seen = np.ix_(times, np.array(self.observed))
            observations[seen] = truth[seen] + noise * rng.normal(size=truth[seen].shape)
            yield Piece(first, truth, observations)
            state, left, first = truth[-1], left - here, first + here * self.every

    def _result(self, case, cycles, seed, told):
        """Of one method."""
        background = Gaussian(self.start, self.start_variance)
        position, rows, seconds = None, [], 0.0
        for piece in self.pieces(cycles, seed):
            values = piece.observations[np.newaxis]
            problem = Problem(values, None, self.noise_variance, background, system=self.system)
            run = case.method.run(problem, position, piece.first, between=False)
            # Where all begins, what is known at first is made, as the climatology of a system.
            found = [next(run)]
            started = time.perf_counter()
            found += run
            seconds += time.perf_counter() - started
            position = found[-1][0]
            # Where all begins there is no observation; of other pieces it was in the one before.
            observed = range(self.every, len(piece.truth), self.every)
            analyses = found[-len(observed) :]
            for step, (_, estimate) in zip(observed, analyses, strict=True):
                error, spread = estimate.mean[0] - piece.truth[step], estimate.spread[0]
                squares = np.square([error, spread]).mean(axis=1)
                crps = gaussian_crps(error, spread).mean()
                rows.append((*np.sqrt(squares), crps, estimate.misfit[0]))
            told(len(rows))
        rmse, spread, crps, misfit = np.array(rows[self.burn_in :]).T
        return Result(
            time_mean(rmse),
            float(spread.mean()),
            float(crps.mean()),
            float(misfit.mean()),
            seconds / len(rows),
            case.published,
        )


def _value(text):
    """A number or another word of Python, or a name as it stands."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
