"""A method on windows of a series, one after the other, each with what the last one knows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from tf4dvar.classical import Gaussian, Method, Problem, climatology, one_step_model
from tf4dvar.classical.covariance import covariance_matrix
from tf4dvar.classical.cycled import Estimate, Filter, Position
from tf4dvar.classical.cycled.filter import misfit_of, seen_of
from tf4dvar.classical.method import setting
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream

# Of the mean variance, in directions along which errors vanish: a covariance has an inverse.
LEAST = 1e-6
# In place of a number that is not there, as what is known has to be finite.
NONE = -1.0


class Handed(NamedTuple):
    """What a window hands on.

    Attributes:
        mean, covariance: of the state where the next one begins, [series, component] and
            [series, component, component].
        misfit: of the times that the next one sees again, [series, time]; -1 where there is none.
    """

    mean: np.ndarray
    covariance: np.ndarray
    misfit: np.ndarray


@dataclass(frozen=True, kw_only=True)
class WindowFilter(Filter):
    """A method of whole windows as a filter, or as a smoother of fixed lag.

    Windows of `window` steps, and so many times and one, begin every `advance` steps. Of a window
    only what no window before has seen is assimilated, with the background that the last one hands
    on: the state where this one begins, and the covariance of its error. That is the analysis'
    own, moved on with the tangent linear and inflated, of linear dynamics Kalman's; of a method
    that knows none it is the climatology's, by a factor.

    A smoother gives the times of a window that the next one does not have, and so has observed
    `window` - `advance` steps more; a filter those that are new.

    Attributes:
        method: one that takes a background.

    Usage:

        from tf4dvar.classical import Problem, Strong
        from tf4dvar.cycling import WindowFilter
        from tf4dvar.experiments import true_flow
        from tf4dvar.systems import Lorenz63

        flow = true_flow("l63", dtype="float64")
        problem = Problem(observations, flow, 2.0, system=Lorenz63())
        smoother = WindowFilter(method=Strong(), window=20, advance=5)
        means = [estimate.mean for _, estimate in smoother.run(problem)]
    """

    kind = Handed
    needs_flow = True
    in_windows = True
    advice = "take longer windows that advance less, or more inflation"
    method: Method
    window: int = setting(20, "Steps of a window.", at_least=1)
    advance: int = setting(10, "Steps from one window to the next.", at_least=1)
    mode: Literal["smoother", "filter"] = setting(
        "smoother", "Whether a time is given with what was observed later in its window, or not."
    )
    background_inflation: float = setting(
        1.02, "Of the spread, from one window to the next.", positive=True
    )
    background_scale: float = setting(
        0.02,
        "Of the climatology's covariance, for methods that know none of their own.",
        positive=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.advance > self.window:
            raise InputError(
                f"Received window={self.window} and advance={self.advance}; expected windows that "
                "leave out nothing, which advance by their length at most."
            )
        if not self.method.takes_background:
            self.method.refuse("background", "takes_background")

    @property
    def name(self) -> str:  # type: ignore[override]
        """The method's."""
        return self.method.name

    def begin(self, problem, rng):
        """The background."""
        prior, count = problem.required_prior(), len(problem.observations)
        covariance = covariance_matrix(prior.covariance, len(prior.mean))
        return Handed(
            np.tile(prior.mean, (count, 1)),
            np.tile(covariance, (count, 1, 1)),
            np.full((count, self._overlap), NONE),
        )

    @property
    def _overlap(self):
        """Number of the times that a window has in common with the next."""
        return self.window - self.advance + 1

    def run(
        self,
        problem: Problem,
        position: Position | None = None,
        first: int = 0,
        restart: bool = False,
        between: bool = True,
        ends: bool = True,
    ) -> Iterator[tuple[Position, Estimate]]:
        """Go through series, window by window; see `Filter.run`.

        Args:
            problem: of the series; a long one is given in pieces, see `span`.
            position, restart: as there.
            first: the number of the problem's first time, where a window begins.
            between, ends: as there.

        Yields:
            The position after the window, and what it has of one of its times.
        """
        steps = problem.shape[1]
        if position is None:
            position = self._beginning(problem, random_stream("filter", self.seed, first))
        for start in range(0, max(1, steps - 1), self.advance):
            stop = min(start + self.window + 1, steps)
            part = problem.between(start, stop)
            # What the last window has seen, too, is in the background.
            seen = self._overlap if first + start else 0
            found, known, misfit = self._window(part, seen, position.known)
            position = position._replace(known=known)
            time = first + stop - 1
            rng = random_stream("filter", self.seed, time)
            position = self._finite(problem, position, time, restart, rng)
            for number in seen + np.flatnonzero(~np.isnan(misfit[:, seen:]).all(axis=0)):
                at = first + start + int(number)
                position = self._near(problem, position, misfit[:, number], at, restart, rng)
            is_last = stop == steps
            given = range(stop - start if is_last and ends else self.advance)
            if self.mode == "filter":
                given = range(seen, stop - start)
            is_observed: Any = part.observed.any(axis=(0, 2))
            for place in given:
                if between or is_observed[place]:
                    mean, spread = (each[:, place] for each in found)
                    yield position, Estimate(mean, spread, misfit[:, place])
            if is_last:
                break

    def span(self, number: int, length: int, steps: int) -> tuple[int, int] | None:
        """The times of a piece: of the windows that begin in it, all.

        Args:
            number: of the piece.
            length: of pieces, about.
            steps: of all.
        """
        length = max(1, length // self.advance) * self.advance
        begin = number * length
        last = max(0, -(-(steps - 1 - self.window) // self.advance)) * self.advance
        if begin > last:
            return None
        return begin, min(begin + length - self.advance + self.window + 1, steps)

    def _window(self, part, seen, known):
        """Of each series states and spread, what is handed on, and misfits of new times."""
        model = one_step_model(part.flow, part.components)
        fields: tuple[list, ...] = ([], [], [], [], [])
        for series in range(len(part.observations)):
            own = part.part(slice(series, series + 1))
            background = Gaussian(known.mean[series], known.covariance[series])
            own = replace(own, background=background)
            forecast, propagators = _moved(model, own, known.mean[series])
            misfit = _misfit(own, forecast, propagators, known.covariance[series])
            before = known.misfit[series, :seen]
            misfit[:seen] = np.where(before == NONE, np.nan, before)[: len(misfit)]
            observations = own.observations.copy()
            observations[:, :seen] = np.nan
            analysis = self.method.analyse(replace(own, observations=observations))
            states = analysis.states[0]
            covariance, spread = self._errors(model, own, analysis)
            at = min(self.advance, len(states) - 1)
            for field, of in zip(
                fields, (states, spread, states[at], covariance[at], misfit), strict=True
            ):
                field.append(of)
        states, spread, mean, covariance, misfit = map(np.stack, fields)
        again = np.nan_to_num(misfit[:, self.advance :], nan=NONE)
        missing = self._overlap - again.shape[1]
        left = np.pad(again, ((0, 0), (0, missing)), constant_values=NONE)
        return (states, spread), Handed(mean, covariance, left), misfit

    def _errors(self, model, own, analysis):
        """Covariances of errors at all times, inflated, and the spread that is stated."""
        states = analysis.states[0]
        if analysis.covariance is None:
            known = climatology(own.required_system())
            static = self.background_scale * covariance_matrix(known.covariance, own.components)
            unknown = np.full(states.shape, np.nan)
            spread = unknown if analysis.spread is None else analysis.spread[0]
            return np.broadcast_to(static, (len(states), *static.shape)), spread
        propagators = _propagators(model, own, states)
        covariances = propagators @ analysis.covariance[0] @ propagators.swapaxes(-1, -2)
        covariances = (covariances + covariances.swapaxes(-1, -2)) / 2
        spread = np.sqrt(np.einsum("tii->ti", covariances))
        mean = np.einsum("tii->t", covariances)[:, np.newaxis, np.newaxis] / own.components
        covariances = covariances + LEAST * mean * np.eye(own.components)
        return self.background_inflation**2 * covariances, spread


def _moved(model, own, mean):
    """The forecast of a window, [time, component], and its propagators."""
    steps = own.shape[1]
    states = model.trajectory(mean[np.newaxis], steps, own.covariates_of_steps)[0]
    return states, _propagators(model, own, states)


def _propagators(model, own, states):
    """From the first time to each, [time, component, component]."""
    known = own.covariates_of_steps
    jacobians = model.jacobians(states, None if known is None else known[0])
    propagators = [np.eye(states.shape[-1])]
    for jacobian in jacobians[:-1]:
        propagators.append(jacobian @ propagators[-1])
    return np.stack(propagators)


def _misfit(own, forecast, propagators, covariance):
    """Of times that are observed, [time]; see `Estimate`."""
    misfit = np.full(len(forecast), np.nan)
    simulated = own.operator(forecast)
    jacobian = own.operator.jacobian(forecast)
    matrices = np.eye(own.components) if jacobian is None else jacobian
    matrices = np.broadcast_to(matrices, (len(forecast), *matrices.shape[-2:]))
    for time in map(int, np.flatnonzero(own.observed[0].any(axis=1))):
        of = seen_of(own, 0, time)
        rows = of.root.T @ (matrices[time] @ propagators[time])[of.entries]
        innovation = of.values - of.of(simulated[time])
        misfit[time] = misfit_of(innovation, rows @ covariance @ rows.T)
    return misfit
