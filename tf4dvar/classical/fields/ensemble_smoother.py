"""Ensemble Kalman smoothers of fields, localised by distance."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from tf4dvar.classical.analysis import Progress
from tf4dvar.classical.ensemble import gaspari_cohn, weights_of_members
from tf4dvar.classical.fields.covariances import KernelCovariance
from tf4dvar.classical.fields.local_analysis import Observations, blocks, neighbours_of
from tf4dvar.classical.fields.method import FieldMethod
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.classical.method import setting
from tf4dvar.data.grid import distances
from tf4dvar.runtime import check_memory
from tf4dvar.systems import random_stream

logger = logging.getLogger(__name__)


class EnsembleDynamics(Protocol):
    """What an ensemble is drawn from, and how it goes on.

    A state has some fields, the first of which is observed: [member, field, y, x].

    Attributes:
        fields: their number.
        held: bytes of what it keeps, for each point.
        held_by_member: bytes that a forecast takes for each point of each member.
    """

    fields: int
    held: int
    held_by_member: int

    def draw(self, members: int, rng: np.random.Generator) -> np.ndarray:
        """States of the climatology.

        Args:
            members: their number.
            rng: draws them.
        """

    def forecast(self, states: np.ndarray, days: float, rng: np.random.Generator) -> np.ndarray:
        """States some days later, each with a random error of the dynamics.

        Args:
            states: of an ensemble.
            days: until then.
            rng: draws the errors.
        """


@dataclass(frozen=True)
class EnsembleSmoother(FieldMethod):
    """An ensemble Kalman smoother of fields; a subclass gives the dynamics.

    At each time that is observed it updates the maps of the last days with the covariances of the
    ensemble (Evensen and van Leeuwen 2000), each times a factor by the distance of the points, see
    `gaspari_cohn`. Where a field repeats they are zero from half a period on at the latest: beyond,
    the factors are not positive definite. The update is stochastic, with perturbed observations,
    or the square root of Whitaker and Hamill (2002); see `EnKS`. With more observations than
    `neighbours` points are updated block by block with those near them, see `neighbours_of`.
    """

    members: int = setting(40, "Size of the ensemble.", at_least=2)
    inflation: float = setting(1.0, "Of the spread, at each analysis.", positive=True)
    square_root: bool = setting(False, "No perturbed observations.")
    localisation: float | None = setting(
        250.0, "Kilometres from which covariances are zero.", positive=True
    )
    lag: float = setting(15.0, "Days that an observation reaches back.", at_least=0)
    neighbours: int = setting(300, "Observations for a block of points, at most.", at_least=1)
    seed: int = setting(0, "Same seed, same states.", at_least=0)

    def smoothed(
        self, problem: FieldProblem, dynamics: EnsembleDynamics, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the ensemble, [member, time, y, x].

        Args:
            problem: the maps.
            dynamics: of the ensemble.
            progress: see `FieldMethod.analyse`.
        """
        grid, times = problem.grid, problem.times
        # Only its coordinates are asked for, km.
        places = KernelCovariance(grid, np.zeros(1), "gaussian", 1.0, 1.0, 1.0)
        groups = blocks(places, grid.sea[None])
        taper = partial(_taper, grid, self._support(grid))
        maps = np.empty((2, *problem.observations.shape))
        for member in range(len(problem.observations)):
            rng = random_stream("ensemble", self.seed)
            # Maps from the time `first` on, of which the last is today's, and what is hidden today.
            states, first = dynamics.draw(self.members, rng).astype("float32"), 0
            for time, now in enumerate(times):
                if time:
                    before = states[:, time - 1 - first :]
                    ensemble = dynamics.forecast(before, now - times[time - 1], rng)
                    start = int(np.searchsorted(times, now - self.lag))
                    _tell(maps[:, member, first:start], states)
                    kept = states[:, start - first : time - first]
                    states = np.concatenate([kept, ensemble.astype("float32")], axis=1)
                    first = start
                seen = problem.observed[member, time]
                if seen.any():
                    values = problem.observations[member, time][seen].astype("float64")
                    variance = problem.variance[member, time][seen]
                    observed = Observations(np.flatnonzero(seen), values, variance)
                    _inflate(states[:, time - first :], self.inflation)
                    near = neighbours_of(places, observed.points, groups, self.neighbours)
                    parts = zip(groups, near, strict=True)
                    states = self._updated(states, time - first, observed, parts, taper, rng)
                progress(member * len(times) + time + 1, len(maps[0]) * len(times))
            _tell(maps[:, member, first:], states)
        return maps[0], maps[1]

    def _updated(self, states, now, observed, parts, taper, rng):
        """The states, the map `now` of which is observed, updated block by block."""
        shape, (members, fields) = states.shape, states.shape[:2]
        states = states.reshape(members, fields, -1)
        std = np.sqrt(observed.variance)
        simulated = states[:, now, observed.points] / std
        mean = simulated.mean(axis=0)
        anomalies, innovation = simulated - mean, observed.values / std - mean
        noise = None if self.square_root else rng.normal(size=anomalies.shape)
        if noise is not None:
            noise -= noise.mean(axis=0)
        everything, weights = len(observed.points), None
        for group, chosen in parts:
            if weights is None or len(chosen) < everything:
                near, at = anomalies[:, chosen], observed.points[chosen]
                weights = weights_of_members(
                    innovation[chosen],
                    near,
                    near.T @ near / (members - 1) * taper(at, at),
                    np.eye(len(chosen)),
                    None if noise is None else noise[:, chosen],
                ).astype("float32")
                near = (near / (members - 1)).astype("float32")
            part = states[:, :, group]
            cross = (part.reshape(members, -1).T @ near).reshape(fields, len(group), -1)
            cross *= taper(group, at)
            part += (weights @ cross.reshape(-1, len(chosen)).T).reshape(part.shape)
            states[:, :, group] = part
        return states.reshape(shape)

    def _support(self, grid):
        """The distance from which covariances are zero."""
        half = min((each / 2 for each in grid.periods if each is not None), default=np.inf)
        if self.localisation is not None and self.localisation > half:
            logger.warning(
                "Covariances are zero from %g km on, half a period, in place of localisation=%g.",
                half,
                self.localisation,
            )
            return half
        return self.localisation

    def check_memory(
        self, problem: FieldProblem, dynamics: EnsembleDynamics | type[EnsembleDynamics]
    ) -> None:
        """Refuse an ensemble that does not fit into the memory.

        Args:
            problem: the maps.
            dynamics: of the ensemble, or their class.

        Raises:
            InputError: it does not fit.
        """
        times = problem.times
        most = int((np.arange(len(times)) - np.searchsorted(times, times - self.lag)).max())
        points = int(np.prod(problem.grid.shape))
        # Maps are held before a forecast and after it.
        by_member = 2 * 4 * (most + dynamics.fields) + dynamics.held_by_member
        needed = points * (self.members * by_member + dynamics.held)
        needed += 4 * 8 * min(self.neighbours, points) ** 2
        check_memory(
            needed,
            f"{self.members} members of {most + dynamics.fields} maps of {points} points",
            "Take fewer members, a shorter lag or a part of the grid.",
        )


def _taper(grid, support, some, others):
    """Factors on covariances of two sets of points."""
    if support is None:
        return np.float32(1)
    positions = grid.positions.reshape(-1, len(grid.box))
    apart = distances(positions[some], positions[others], grid.box)
    return gaspari_cohn(apart, support).astype("float32")


def _inflate(ensemble, factor):
    """Multiply the deviations from the mean, in place."""
    mean = ensemble.mean(axis=0)
    ensemble -= mean
    ensemble *= factor
    ensemble += mean


def _tell(maps, states):
    """Write mean and standard deviation of an ensemble's first maps."""
    done = states[:, : maps.shape[1]]
    maps[0] = done.mean(axis=0, dtype="float64")
    maps[1] = done.std(axis=0, ddof=1, dtype="float64")
