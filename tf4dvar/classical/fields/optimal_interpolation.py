"""Optimal interpolation of fields from near observations in space and time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tf4dvar.classical.fields.covariance_fit import DRIFT
from tf4dvar.classical.fields.covariance_method import CovarianceMethod
from tf4dvar.classical.fields.covariance_of_states import covariance_of_states, mean_of_states
from tf4dvar.classical.fields.covariances import FieldCovariance
from tf4dvar.classical.fields.local_analysis import (
    Observations,
    blocks,
    interpolate,
    neighbours_of,
)
from tf4dvar.classical.fields.method import FieldAnalysis
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.classical.method import setting
from tf4dvar.runtime import check_memory


@dataclass(frozen=True)
class OptimalInterpolation(CovarianceMethod):
    """Optimal interpolation: the best linear estimate from near observations in space and time.

    The covariance is a kernel whose parameters are fitted to the data, or that of states. For a
    fit observations are withheld as gaps are, those of a day that another day does not observe;
    the kernel and its parameters are those under which they are most likely, and the stated error
    is scaled to what they show. Points of the same block share their neighbours. The mean of the
    field, or of its departure from the mean of the states, is unknown; see `interpolate`.

    `FieldAnalysis.settings` has the parameters, and of a kernel its name, `kernel`.

    Attributes:
        mapping: by which blocks are interpolated, as the built-in `map`;
            `tf4dvar.scale.mapping.with_workers` has one of several processes.

    Usage:

        from tf4dvar.classical.fields import FieldProblem, OptimalInterpolation
        from tf4dvar.data.grid import Grid

        observations = np.full((1, 5, 8, 8), np.nan)
        observations[:, ::2, ::3] = 1.0
        problem = FieldProblem(
            observations, 0.01, np.arange(5.0), Grid(np.arange(8.0), np.arange(8.0))
        )
        method = OptimalInterpolation("exponential", length=4.0, days=2.0, variance=1.0)
        assert np.allclose(method.analyse(problem).states, 1.0)
    """

    name = "oi"
    numbers = (*CovarianceMethod.numbers, *DRIFT)
    drift_x: float | None = setting(
        None, "Of a kernel's frame along x, km a day; None: fitted, 0 where days are given."
    )
    drift_y: float | None = setting(None, "As drift_x, along y.")
    neighbours: int = setting(300, "Observations for a block of points, at most.", at_least=2)
    mapping: Callable[..., Iterable[Any]] = field(default=map, repr=False, compare=False)

    def solve(self, problem, progress):
        """See `FieldMethod.analyse`."""
        largest = min(self.neighbours, int(problem.observed.sum(axis=(1, 2, 3)).max()))
        check_memory(3 * 8 * largest**2, f"Received neighbours={self.neighbours}", "Take fewer.")
        mean, fit = np.zeros(problem.grid.shape), None
        covariance: FieldCovariance
        told: dict[str, float | str]
        if self.of_states(problem):
            covariance, mean = covariance_of_states(problem), mean_of_states(problem)
            members, noise_factor = observations_of(problem, mean), self.noise_factor or 1.0
            told = {"variance": covariance.variance, "noise_factor": noise_factor}
        else:
            members = observations_of(problem, mean)
            fit, best = self.kernel(problem, members, self.neighbours)
            covariance, noise_factor = fit.covariance_of(best), best.noise_factor
        wanted = np.broadcast_to(problem.grid.sea, problem.observations.shape[1:])
        groups = blocks(covariance, wanted)
        maps = np.zeros((2, len(members), wanted.size))
        for number, observed in enumerate(members):
            observed = observed._replace(variance=noise_factor * observed.variance)
            near = neighbours_of(covariance, observed.points, groups, self.neighbours)
            found = self.mapping(partial(interpolate, covariance), map(observed.of, near), groups)
            for done, (group, values) in enumerate(zip(groups, found, strict=True), 1):
                maps[:, number, group] = values
                progress(number * len(groups) + done, len(members) * len(groups))
        maps = maps.reshape(2, *problem.observations.shape)
        if fit is not None:
            if fit.scaled:
                scale = fit.scale(best, maps[1][wanted & ~problem.observed])
                maps[1] *= scale
                best = best.scaled(scale)
            told = self.told(best)
        return FieldAnalysis(maps[0] + mean, np.sqrt(maps[1]), told)


def observations_of(problem: FieldProblem, mean: np.ndarray) -> list[Observations]:
    """What is observed in each member, as departures from a mean.

    Args:
        problem: the maps.
        mean: [y, x].
    """
    members = []
    for seen, values, variance in zip(
        problem.observed, problem.observations, problem.variance, strict=True
    ):
        points = np.flatnonzero(seen)
        departures = (values - mean)[seen].astype("float64")
        members.append(Observations(points, departures, variance[seen]))
    return members
