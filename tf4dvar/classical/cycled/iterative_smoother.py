"""An ensemble that is fitted again and again over the last observations."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tf4dvar.classical.cycled.ensemble_filters import EnsembleFilter, rotation
from tf4dvar.classical.cycled.filter import misfit_of
from tf4dvar.classical.method import setting
from tf4dvar.errors import InputError

# Of the weights of members, by the root of their number, where an iteration has ended.
CONVERGED = 1e-4


class Lagged(NamedTuple):
    """An ensemble at the beginning of the window and now.

    Attributes:
        start, members: then and now, [series, member, component].
        intervals: steps between the times in the window at which something was observed, and since
            the last of them, [series, lag], the same for all series.
    """

    start: np.ndarray
    members: np.ndarray
    intervals: np.ndarray


@dataclass(frozen=True)
class IEnKS(EnsembleFilter):
    """Iterative ensemble Kalman smoother, 4D-Var in the space of an ensemble.

    What is observed now corrects the ensemble as it was several observations ago, by Gauss-Newton
    steps with derivatives from the ensemble itself, each after a forecast from there (Bocquet and
    Sakov 2014, doi:10.1002/qj.2236, with the symmetric root as the transform). Nonlinear dynamics
    bend the ensemble less over one window than over all time.
    """

    name = "ienks"
    kind = Lagged
    lag: int = setting(2, "Observed times from the beginning of the window on.", at_least=1)
    iterations: int = setting(10, "Gauss-Newton steps at most.", at_least=1)

    def begin(self, problem, rng):
        """Drawn from the background."""
        if problem.covariates is not None:
            raise InputError(
                "Received covariates; ienks forecasts from earlier times anew, whose covariates it "
                "does not keep. Take another method."
            )
        count = len(problem.observations)
        members = problem.required_prior().draw(rng, count, self.members)
        return Lagged(members, members, np.zeros((count, self.lag), int))

    def forecast(self, problem, state, move, time, rng):
        """Every member by itself."""
        intervals = state.intervals.copy()
        intervals[:, -1] += 1
        return state._replace(members=move(state.members, time), intervals=intervals)

    def update(self, problem, state, seen, move, rng):
        """The ensemble at the beginning of the window by what is observed now, then forecast."""
        number, members = np.sqrt(self.members - 1), self.members
        mean = state.start.mean(axis=1)
        departures = (state.start - mean[:, np.newaxis]) / number
        weights = np.zeros((len(seen), members))
        transforms = np.tile(np.eye(members), (len(seen), 1, 1))
        roots = transforms.copy()
        misfit = np.full(len(seen), np.nan)
        changes, costs = np.zeros_like(weights), np.full(len(seen), np.inf)
        steps = int(state.intervals[0].sum())
        active = [series for series, of in enumerate(seen) if of.entries.size]
        now = state.members
        for iteration in range(self.iterations):
            simulated = problem.operator(now)
            moving = []
            for series in active:
                of = seen[series]
                shown = of.of(simulated[series])
                innovation = of.values - shown.mean(axis=0)
                anomalies = roots[series] @ (shown - shown.mean(axis=0)) / number
                if not np.isfinite(anomalies).all():
                    weights[series] = np.nan  # which is told after the update
                    continue
                if not iteration:
                    misfit[series] = misfit_of(innovation, anomalies.T @ anomalies)
                    wider = self.widening(innovation, anomalies, misfit[series])
                    anomalies *= wider
                    departures[series] *= wider
                cost = np.square(innovation).sum() + np.square(weights[series]).sum()
                if cost > costs[series] and np.linalg.norm(changes[series]) > CONVERGED * number:
                    # A step too far: half of it back.
                    changes[series] /= 2
                    weights[series] -= changes[series]
                    moving.append(series)
                    continue
                costs[series] = cost
                slope = anomalies @ innovation - weights[series]
                values, vectors = np.linalg.eigh(np.eye(members) + anomalies @ anomalies.T)
                changes[series] = (vectors / values) @ (vectors.T @ slope)
                weights[series] += changes[series]
                transforms[series] = (vectors / np.sqrt(values)) @ vectors.T
                roots[series] = (vectors * np.sqrt(values)) @ vectors.T
                if np.linalg.norm(changes[series]) > CONVERGED * number:
                    moving.append(series)
            if not moving or iteration + 1 == self.iterations:
                break
            active = moving
            now = now.copy()
            now[active] = self._ahead(
                _combined(mean, departures, weights, number * transforms)[active], steps, move
            )
        turned = number * transforms
        for series in map(int, np.flatnonzero(~np.isnan(misfit))):
            turn = rotation(members, rng) if self.rotation else np.eye(members)
            turned[series] = self.inflation * turn @ turned[series]
        start = _combined(mean, departures, weights, turned)
        now = self._ahead(start, steps, move)
        first = int(state.intervals[0, 0])
        intervals = np.roll(state.intervals, -1, axis=1)
        intervals[:, -1] = 0
        return Lagged(self._ahead(start, first, move), now, intervals), misfit

    def _ahead(self, states, steps, move):
        for _ in range(steps):
            states = move(states, 0)
        return states


def _combined(mean, departures, weights, transforms):
    """Ensembles by weights of their mean, and transforms of their departures."""
    means = mean + np.einsum("sm,smc->sc", weights, departures)
    return means[:, np.newaxis] + transforms @ departures
