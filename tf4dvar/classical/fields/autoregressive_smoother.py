"""Ensemble Kalman smoother of fields on any grid, without a model of their dynamics."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from tf4dvar.classical.ensemble import square_root
from tf4dvar.classical.fields.covariance_method import CovarianceMethod
from tf4dvar.classical.fields.covariance_of_states import mean_of_states
from tf4dvar.classical.fields.covariances import (
    DEGREES,
    KernelCovariance,
    SeparableCovariance,
)
from tf4dvar.classical.fields.ensemble_smoother import EnsembleSmoother
from tf4dvar.classical.fields.method import FieldAnalysis
from tf4dvar.classical.fields.optimal_interpolation import observations_of
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.classical.method import setting
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream

# Waves of which fields of a kernel are made: its correlations are right to a fiftieth.
WAVES = 1000
# Of the states that a problem gives, at most so many make the ensemble.
EXAMPLES = 2000


@dataclass(frozen=True)
class AutoregressiveSmoother(CovarianceMethod, EnsembleSmoother):
    """Ensemble Kalman smoother of maps on any grid, with land or without, and its spread.

    Without a model of the dynamics a field goes on by its rate, forgets, and is driven by random
    fields so that its variance stays. Of the departure x from the mean, and its rate v in units of
    k = sqrt(3) / days,

        dx/dt = k v,  dv/dt = -k x - 2 k v + a random field, white in time

    whose covariance in time is the kernel of Matern with smoothness 3/2 (Hartikainen and Sarkka
    2010, doi:10.1109/MLSP.2010.5589113). In space it is a kernel, or the covariance of states, with
    their correlation in time. Length and days of a kernel are fitted as those of `oi`; mean and
    variance are those of the observations. The mean of states is theirs.

    Analyses are those of `EnsembleSmoother`.

    Usage:

        from tf4dvar.classical.fields import AutoregressiveSmoother, FieldProblem
        from tf4dvar.data.grid import Grid

        observations = np.full((1, 5, 8, 8), np.nan)
        observations[:, ::2, ::3] = 1.0
        problem = FieldProblem(
            observations, 0.01, np.arange(5.0), Grid(np.arange(8.0), np.arange(8.0))
        )
        method = AutoregressiveSmoother(length=4.0, days=2.0, variance=1.0, localisation=8.0)
        assert method.analyse(problem).spread.max() < 1.5
    """

    name = "enks"
    kind = SeparableCovariance
    members: int = setting(100, "Size of the ensemble.", at_least=2)

    def solve(self, problem, progress):
        """See `FieldMethod.analyse`."""
        self.check_memory(problem, Autoregression)
        settings: dict[str, Any]
        if self.of_states(problem):
            patterns, mean, days = patterns_of_states(problem)
            settings = {"days": days, "noise_factor": self.noise_factor or 1.0}
        else:
            members = observations_of(problem, np.zeros(problem.grid.shape))
            mean = np.reshape([each.values.mean() for each in members], (-1, 1, 1, 1))
            fit, best = self._kernel(problem, members)
            patterns, settings = patterns_of_kernel(fit.covariance_of(best)), self.told(best)
        departures = replace(
            problem,
            observations=problem.observations - mean,
            noise_variance=settings["noise_factor"] * problem.variance,
        )
        dynamics = Autoregression(patterns, problem.grid.shape, settings["days"])
        states, spread = self.smoothed(departures, dynamics, progress)
        return FieldAnalysis(states + mean, spread, settings)

    def _kernel(self, problem, members):
        """As of `CovarianceMethod`; the variance is that of all observations but their noise.

        A fit, for which the mean is unknown, tells only how a field varies near them.
        """
        variance = self.variance
        if variance is None:
            of_all = float(np.mean([each.values.var() for each in members])) or 1.0
            noise = float(np.mean(problem.variance[problem.observed]))
            variance = max(of_all - noise, of_all / 100)
        return replace(self, variance=variance).kernel(problem, members, self.neighbours)


class Autoregression:
    """How an ensemble goes on without a model, see `AutoregressiveSmoother`.

    A state is x and v.

    Args:
        patterns: whose random sums are the fields, [pattern, point].
        shape: of a map.
        days: of the kernel in time.
    """

    fields = 2
    # Two draws and two states.
    held_by_member = 2 * 4 * 4
    held = 4 * max(2 * WAVES, EXAMPLES)

    def __init__(self, patterns: np.ndarray, shape: tuple[int, int], days: float):
        self._patterns, self._shape, self._days = patterns, shape, days

    def draw(self, members: int, rng: np.random.Generator) -> np.ndarray:
        """See `EnsembleDynamics`."""
        amplitudes = rng.normal(size=(members * self.fields, len(self._patterns)))
        drawn = amplitudes.astype("float32") @ self._patterns
        return drawn.reshape(members, self.fields, *self._shape)

    def forecast(self, states: np.ndarray, days: float, rng: np.random.Generator) -> np.ndarray:
        """See `EnsembleDynamics`."""
        z = np.sqrt(3) * days / self._days
        kept = np.exp(-z) * np.array([[1 + z, z], [-z, 1 - z]])
        # The variance of both fields stays.
        lost = square_root(np.eye(2) - kept @ kept.T)
        together = np.concatenate([states, self.draw(len(states), rng)], axis=1)
        return np.einsum("ij,mjyx->miyx", np.hstack([kept, lost]).astype("float32"), together)


def patterns_of_kernel(covariance: KernelCovariance) -> np.ndarray:
    """Waves whose random sums have the covariance of a kernel in space, [pattern, point].

    Cosines and sines of wavenumbers that are drawn from the spectrum of the kernel (Rahimi and
    Recht 2007): on any grid, the sphere too.

    Args:
        covariance: with the kernel.
    """
    places = covariance.coordinates(np.arange(np.prod(covariance.grid.shape)))[:, :-1]
    rng = random_stream("waves of a kernel")
    wavenumbers = rng.normal(size=(WAVES, places.shape[1]))
    degrees = DEGREES[covariance.kernel]
    if np.isfinite(degrees):
        wavenumbers /= np.sqrt(rng.chisquare(degrees, (WAVES, 1)) / degrees)
    patterns = np.empty((2, WAVES, len(places)), "float32")
    for wave, wavenumber in enumerate(wavenumbers):
        phases = places @ wavenumber
        patterns[:, wave] = np.cos(phases), np.sin(phases)
    return np.sqrt(covariance.variance / WAVES) * patterns.reshape(-1, len(places))


def patterns_of_states(problem: FieldProblem) -> tuple[np.ndarray, np.ndarray, float]:
    """Departures of states from their mean, whose random sums have the covariance of the states.

    Args:
        problem: with states; see `FieldProblem`.

    Returns:
        [pattern, point]; the mean, [y, x]; and the days of the kernel in time, by the first lag at
        which the states' correlation is below one half, or by the longest.

    Raises:
        InputError: there are no states, or none that follow each other or vary.
    """
    states = problem.states
    if states is None or states.shape[1] < 2:
        raise InputError(
            "Received no states that follow each other; expected examples of whole fields, two of "
            "them in a row at least, or another covariance."
        )
    mean = mean_of_states(problem)
    anomalies = np.where(problem.grid.sea, states - mean, 0.0)
    variance = np.square(anomalies).mean()
    if not variance > 0:
        raise InputError("Received states that are all the same; expected some that vary.")
    for lag in range(1, states.shape[1]):
        correlation = (anomalies[:, lag:] * anomalies[:, :-lag]).mean() / variance
        if correlation < 0.5:
            break
    # Where Matern's kernel has it: (1 + z) exp(-z).
    z = -1 - special.lambertw(-np.clip(correlation, 0.01, 0.9999) / np.e, -1).real
    days = np.sqrt(3) * lag * problem.time_step / z
    patterns = anomalies.reshape(-1, mean.size)
    patterns = patterns[:: -(-len(patterns) // EXAMPLES)]
    return (patterns / np.sqrt(len(patterns))).astype("float32"), mean, float(days)
