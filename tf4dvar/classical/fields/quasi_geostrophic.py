"""4DVar with quasi-geostrophic dynamics, window by window."""

from dataclasses import dataclass

import numpy as np
import psutil
from scipy import fft
from scipy.optimize import minimize

from tf4dvar.classical.fields.climatology import SUCCESSIVE, simulated_heights
from tf4dvar.classical.fields.isotropic import IsotropicSpectrum
from tf4dvar.classical.fields.method import FieldAnalysis, FieldMethod
from tf4dvar.classical.fields.model_error import ModelError
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.classical.method import setting
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.systems import QuasiGeostrophic

# Gradients from which L-BFGS estimates the Hessian.
MEMORY = 20
# Heights that a step holds while it is differentiated, about.
HELD = 300
# Of the states that a problem gives, as many samples at most.
EXAMPLES = 100


@dataclass(frozen=True)
class QuasiGeostrophicAssimilation(FieldMethod):
    """Strong-constraint 4DVar with quasi-geostrophic dynamics, of one layer or two.

    In a periodic box, as of `tf4dvar simulate qg`. Of each window it seeks the first heights, from
    which the dynamics lead through the observations (Le Dimet and Talagrand 1986). The background is
    a climatology's isotropic covariance: of the states that the problem gives, for one layer, else of
    turbulence that it simulates. L-BFGS begins at the first guess, else where the window before ended.
    """

    name = "4dvar-qg"
    takes_first_guess = True
    layers: int = setting(1, "1, above water at rest, or 2, the lower never seen.", at_least=1)
    window: float = setting(21.0, "Days of a window.", positive=True)
    shift: float = setting(5.0, "Days from a window to the next.", positive=True)
    iterations: int = setting(60, "Of L-BFGS in a window, at most.", at_least=1)
    time_step: float = setting(6.0, "Of the dynamics, hours at most.", positive=True)
    deformation_radius: float = setting(30.0, "Kilometres.", positive=True)
    shear: float = setting(0.1, "Mean flow of the upper layer over the lower, m/s.")
    beta: float = setting(1.6e-11, "Gradient of the planetary vorticity, 1/(m s).")
    drag: float = setting(1.16e-6, "Of the lower layer, 1/s.")

    @property
    def system(self) -> QuasiGeostrophic:
        """Whose equations the dynamics are.

        Raises:
            InputError: there are more than two layers.
        """
        return QuasiGeostrophic(
            layers=self.layers,
            deformation_radius=1e3 * self.deformation_radius,
            flows=(self.shear, 0.0),
            beta=self.beta,
            drag=self.drag,
        )

    def solve(self, problem, progress):
        """See `FieldMethod.analyse`."""
        from tf4dvar.classical.fields.initial_heights import InitialHeights
        from tf4dvar.layers import QuasiGeostrophicODE

        spacing, time_step = _spacing(problem.grid), _time_step(problem)
        members, times, *size = problem.observations.shape
        length = min(max(round(self.window / time_step), 2), times)
        parts = self._parts(time_step)
        self._check_memory(length * parts, size)
        fields, apart, between = self._examples(problem, spacing, time_step)
        root = IsotropicSpectrum(fields[:, 0], apart).root(size, spacing)
        forcing = {}
        if self.layers == 1:
            error = self._model_error(fields[:, :, 0], apart, between)
            forcing = {"forcing": error.root(size, spacing), "modes": error.modes(length - 1)}
        cost = InitialHeights(
            self._ode(spacing), root, (length, *size), time_step, parts, **forcing
        )
        windows = _windows(times, length, max(round(self.shift / time_step), 1))
        states, iterations = np.empty(problem.observations.shape), []
        for member in range(members):
            heights, before = np.zeros((1, self.layers, *size)), 0
            for start, kept in windows:
                first = heights[start - before]
                if problem.first_guess is not None:
                    first = problem.first_guess[member, start, None]
                seen = member, slice(start, start + length)
                weights = np.where(problem.observed[seen], 1 / problem.variance[seen], 0.0)
                begin = np.zeros(cost.size)
                control = _control(root, first).ravel()
                begin[: control.size] = control
                found = minimize(
                    cost,
                    begin,
                    (np.nan_to_num(problem.observations[seen]), weights),
                    jac=True,
                    method="L-BFGS-B",
                    options={"maxiter": self.iterations, "maxcor": MEMORY},
                )
                heights, before = cost.trajectory(found.x), start
                states[member, kept] = heights[kept - start, 0]
                iterations.append(found.nit)
                progress(len(iterations), members * len(windows))
        return FieldAnalysis(states, settings={"iterations": float(np.mean(iterations))})

    def _parts(self, days):
        return int(np.ceil(24 * days / self.time_step - 1e-9))

    def _examples(self, problem, spacing, time_step):
        """Fields that follow each other, [sample, time, layer, y, x], their spacing and time step."""
        if self.layers == 2 or problem.states is None:
            heights, apart = simulated_heights(self.system)
            return heights[:, :, : self.layers], apart, 1.0
        if problem.states.shape[1] < SUCCESSIVE:
            raise InputError(
                f"Received states of {problem.states.shape[1]} times; expected {SUCCESSIVE} or more, "
                "by which the error of the dynamics is seen."
            )
        first = [
            (sample, slice(time, time + SUCCESSIVE))
            for sample in range(len(problem.states))
            for time in range(0, problem.states.shape[1] - SUCCESSIVE + 1, SUCCESSIVE)
        ]
        chosen = np.unique(np.linspace(0, len(first) - 1, EXAMPLES).round().astype(int))
        fields = np.array([problem.states[first[each]] for each in chosen], "float64")
        return fields[:, :, None], spacing, time_step

    def _ode(self, spacing):
        from tf4dvar.layers import QuasiGeostrophicODE

        system = self.system
        return QuasiGeostrophicODE(
            spacing,
            self.layers,
            deformation_radius=system.deformation_radius,
            beta=system.beta,
            flows=system.flows,
            drag=system.drag,
        )

    def _model_error(self, fields, spacing, time_step):
        from tf4dvar.layers import QuasiGeostrophicFlow

        flow = QuasiGeostrophicFlow(self._ode(spacing), time_step, self._parts(time_step))
        predicted = np.concatenate([flow(each[None, ..., None])[..., 0] for each in fields])
        return ModelError(fields, predicted[:, 1:], time_step, spacing)

    def _check_memory(self, steps, size):
        needed = 4 * (steps + HELD) * self.layers * np.prod(size)
        available = psutil.virtual_memory().total
        if needed > available:
            raise InputError(
                f"A window of {steps} steps at {size[0]} x {size[1]} points needs some "
                f"{needed / 1e9:.0f} GB; there are {available / 1e9:.0f}. Take a shorter window, a "
                "longer time step or a coarser grid."
            )


def _windows(times: int, length: int, shift: int) -> list[tuple[int, np.ndarray]]:
    """Where each window begins, and the times of which its centre is the nearest."""
    starts = np.unique([*range(0, times - length, shift), times - length])
    nearest = np.abs(np.arange(times)[:, None] - starts - (length - 1) / 2).argmin(axis=1)
    return [(start, np.flatnonzero(nearest == each)) for each, start in enumerate(starts)]


def _control(root: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The smallest v of which B^(1/2) makes some heights, of all layers or of the upper one."""
    known = np.moveaxis(root[: len(heights)], (0, 1), (2, 3))
    waves = np.moveaxis(fft.rfft2(heights), 0, 2)[..., None]
    transposed = np.swapaxes(known, -2, -1)
    control = transposed @ np.linalg.solve(known @ transposed, waves)
    return fft.irfft2(np.moveaxis(control[..., 0], 2, 0), heights.shape[-2:])


def _spacing(grid: Grid) -> float:
    """Of the points in y and x, m."""
    distances = np.concatenate([np.diff(axis) for axis in (grid.y, grid.x)])
    rows, columns = grid.shape
    spacing = float(np.mean(distances))
    periodic = grid.periods[0] is not None and grid.periods[1] is not None
    if not periodic or not grid.sea.all():
        raise InputError(
            "Received a grid with coasts or without periods; expected a box that repeats in y and x "
            "(the attribute modulo of both coordinates) and has no land. 4dvar-qg takes no other."
        )
    expected = spacing * rows, spacing * columns
    if not np.allclose([*distances], spacing, rtol=1e-3) or not np.allclose(
        grid.periods, expected, rtol=1e-3
    ):
        raise InputError(
            f"Received distances of {distances.min():g} to {distances.max():g} km between rows and "
            f"columns, and the periods {grid.periods} km; expected square cells, ascending, and as "
            f"many as a period is long, {expected}."
        )
    return 1e3 * spacing


def _time_step(problem: FieldProblem) -> float:
    """Between two maps, days."""
    steps = np.diff(problem.times)
    if not np.allclose(steps, problem.time_step, rtol=1e-3):
        raise InputError(
            f"Received maps that are {steps.min():g} to {steps.max():g} days apart; expected regular "
            "times. Put them on regular ones, with NaN where nothing is observed."
        )
    return problem.time_step
