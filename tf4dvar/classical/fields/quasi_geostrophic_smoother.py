"""Ensemble Kalman smoother of fields with quasi-geostrophic dynamics."""

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

import numpy as np
from scipy import fft

from tf4dvar.classical.fields.ensemble_smoother import EnsembleSmoother
from tf4dvar.classical.fields.isotropic import IsotropicSpectrum
from tf4dvar.classical.fields.method import FieldAnalysis
from tf4dvar.classical.fields.model_error import ModelError
from tf4dvar.classical.fields.quasi_geostrophic_method import (
    QuasiGeostrophicMethod,
    spacing_of,
    time_step_of,
)
from tf4dvar.classical.method import setting
from tf4dvar.errors import InputError
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.quasi_geostrophic import DAY

# Bytes that a step holds for a point of a layer of a member, about.
HELD = 25 * 8


@dataclass(frozen=True)
class QuasiGeostrophicSmoother(QuasiGeostrophicMethod, EnsembleSmoother):
    """Ensemble Kalman smoother with quasi-geostrophic dynamics, of one layer or of two.

    In a square periodic box, as of `tf4dvar simulate qg`. Members begin as random heights with the
    spectra of the states that the problem gives, for one layer; else of turbulence that it
    simulates, once in a process. Two layers hold exactly, the lower is never seen: a little
    inflation keeps their ensemble apart. One layer is also forced, as in `4dvar-qg`: each member
    by a random field of its own that lasts for days, and is estimated with the heights.

    Analyses are those of `EnsembleSmoother`.

    Raises:
        InputError: the grid is no square periodic box without land, times are not regular, or the
            ensemble is too large for the memory.
    """

    name = "enks-qg"
    dynamics_step: float = setting(1.0, "Of the dynamics, hours at most.", positive=True)

    def solve(self, problem, progress):
        """See `FieldMethod.analyse`."""
        dynamics = self._dynamics(problem)
        self.check_memory(problem, dynamics)
        return FieldAnalysis(*self.smoothed(problem, dynamics, progress))

    def _dynamics(self, problem):
        """Of an ensemble on the grid of a problem."""
        days, spacing, size = time_step_of(problem), spacing_of(problem.grid), problem.grid.shape
        if size[0] != size[1] or size[0] % 2:
            raise InputError(
                f"Received a box of {size[0]} x {size[1]} points; expected as many rows as "
                "columns, and an even number. Take another method."
            )
        system = self._system(size[0], spacing, days)
        heights, apart, between = self.examples(problem, spacing)
        root = IsotropicSpectrum(heights[:, 0], apart).root(size, spacing)
        if self.layers == 2:
            return QuasiGeostrophicEnsemble(system, root)
        model = self._system(heights.shape[-1], apart, between)
        predicted = [after(model, each, between) for each in heights[:, :-1].swapaxes(0, 1)]
        missed = ModelError(heights[:, :, 0], np.stack(predicted, axis=1)[:, :, 0], between, apart)
        return QuasiGeostrophicEnsemble(system, root, missed.root(size, spacing), missed.duration)

    def _system(self, points, spacing, days):
        """The system on a grid; its time step divides a day, and some days."""
        parts = Fraction(days).limit_denominator(100).denominator
        steps = parts * np.ceil(24 / self.dynamics_step / parts)
        return replace(self.system, points=points, length=points * spacing, time_step=DAY / steps)


class QuasiGeostrophicEnsemble:
    """How an ensemble goes on with quasi-geostrophic dynamics, see `EnsembleDynamics`.

    A state is the heights of the layers and, where there is one, what forces them, m a day.

    Args:
        system: whose dynamics they are.
        root: B^(1/2) of the heights, see `IsotropicSpectrum.root`.
        forcing: Q^(1/2) of what forces a single layer, or None.
        duration: days after which its correlation is 1/e.
    """

    held = 0

    def __init__(
        self,
        system: QuasiGeostrophic,
        root: np.ndarray,
        forcing: np.ndarray | None = None,
        duration: float = 1.0,
    ):
        self._system, self._root = system, root
        self._forcing, self._duration = forcing, duration
        self.fields = system.layers + (forcing is not None)
        self.held_by_member = HELD * system.layers

    def draw(self, members: int, rng: np.random.Generator) -> np.ndarray:
        """See `EnsembleDynamics`."""
        states = _drawn(self._root, members, rng)
        if self._forcing is None:
            return states
        return np.concatenate([states, _drawn(self._forcing, members, rng)], axis=1)

    def forecast(self, states: np.ndarray, days: float, rng: np.random.Generator) -> np.ndarray:
        """See `EnsembleDynamics`."""
        heights, forced = np.split(states.astype("float64"), [self._system.layers], axis=1)
        if self._forcing is None:
            return after(self._system, heights, days)
        half = days / 2 * forced
        heights = after(self._system, heights + half, days) + half
        kept = np.exp(-days / self._duration)
        forced = kept * forced + np.sqrt(1 - kept**2) * _drawn(self._forcing, len(states), rng)
        return np.concatenate([heights, forced], axis=1)


def after(system: QuasiGeostrophic, heights: np.ndarray, days: float) -> np.ndarray:
    """Heights some days later, of the same mean.

    Args:
        system: whose dynamics they follow.
        heights: [member, layer, y, x].
        days: a multiple of the system's time step.

    Raises:
        InputError: they do not stay finite.
    """
    steps = round(days * DAY / system.time_step)
    with np.errstate(over="ignore", invalid="ignore"):
        state = next(islice(system.states(system.state_of(heights)), steps, None))
    if not np.isfinite(state).all():
        raise InputError(
            f"The dynamics lead from heights of up to {np.abs(heights).max():g} m to some that are "
            "not finite. Look at the units of the observations, or take a smaller dynamics_step."
        )
    return system.heights(state) + heights.mean((-2, -1), keepdims=True)


def _drawn(root, members, rng):
    """Random fields, [member, layer, y, x]."""
    noise = rng.normal(size=(members, len(root), root.shape[2], root.shape[2]))
    return fft.irfft2(np.einsum("ijyx,mjyx->miyx", root, fft.rfft2(noise)))
