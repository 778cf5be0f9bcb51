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

# From which L-BFGS estimates the Hessian.
GRADIENTS = 20
# Times as many iterations in the first window, which begins from nothing: what is never seen is
# found last.
FIRST = 3
# Fields that a step holds while it is differentiated, about.
HELD = 300
# Of the states that a problem gives, about as many samples.
EXAMPLES = 100


@dataclass(frozen=True)
class QuasiGeostrophicAssimilation(FieldMethod):
    """4DVar with quasi-geostrophic dynamics, of one layer or of two.

    In a periodic box, as of `tf4dvar simulate qg`. In each window it seeks the first heights from
    which the dynamics lead through the observations (Le Dimet and Talagrand 1986). Two layers hold
    exactly, the lower is never seen. One layer is also forced: what it leaves out lasts for days,
    and is sought with the first heights (weak constraint). Spectra of heights and of the forcing
    are those of the states that the problem gives, for one layer; else of turbulence that it
    simulates, once in a process. L-BFGS begins at the first guess, else where the window before
    went; the first window, before which nothing was, takes thrice the iterations. The first days
    and the last are less certain.

    Raises:
        InputError: the grid is no periodic box of square cells without land, times are not regular,
            or a window is too large for the memory.
    """

    name = "4dvar-qg"
    takes_first_guess = True
    takes_states = True
    layers: int = setting(1, "1, or 2 of which the lower is never seen.", at_least=1)
    window: float = setting(21.0, "Days of a window.", positive=True)
    shift: float = setting(7.0, "Days from a window to the next.", positive=True)
    iterations: int = setting(
        40, "Of L-BFGS in a window, at most; in the first thrice.", at_least=1
    )
    dynamics_step: float = setting(6.0, "Of the dynamics, hours at most.", positive=True)
    deformation_radius: float = setting(30.0, "Kilometres.", positive=True)
    shear: float = setting(0.1, "Mean flow of the upper layer over the lower, m/s.")
    beta: float = setting(1.6e-11, "Gradient of the planetary vorticity, 1/(m s).")
    drag: float = setting(1.16e-6, "Of the lower layer, 1/s.")

    @property
    def learns(self):
        """See `FieldMethod`; of a lower layer states tell nothing."""
        return self.layers == 1

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
        time_step = _time_step(problem)
        members, times, *_ = problem.observations.shape
        length = min(max(round(self.window / time_step), 2), times)
        shift = min(max(round(self.shift / time_step), 1), length - 1)
        windows, (root, cost) = _windows(times, length, shift), self._cost(problem, length)
        states, iterations = np.empty(problem.observations.shape), []
        for member in range(members):
            heights, before = np.zeros((1, *cost.initial_shape)), 0
            for start, kept in windows:
                first = heights[start - before]
                if problem.first_guess is not None:
                    first = problem.first_guess[member, start, None]
                seen = (member, slice(start, start + length))
                observed = problem.observed[seen]
                weights = np.zeros(observed.shape)
                np.divide(1, problem.variance[seen], out=weights, where=observed)
                found = minimize(
                    cost,
                    np.pad(_control(root, first), (0, cost.size - np.prod(cost.initial_shape))),
                    (np.where(observed, problem.observations[seen], 0.0), weights),
                    jac=True,
                    method="L-BFGS-B",
                    options={
                        "maxiter": self.iterations * (1 if start else FIRST),
                        "maxcor": GRADIENTS,
                    },
                )
                heights, before = cost.trajectory(found.x), start
                states[member, kept] = heights[kept - start, 0]
                iterations.append(found.nit)
                progress(len(iterations), members * len(windows))
        return FieldAnalysis(states, settings={"iterations": float(np.mean(iterations))})

    def _cost(self, problem, length):
        """B^(1/2), and the cost of a window."""
        from tf4dvar.classical.fields.initial_heights import InitialHeights

        size, spacing = problem.grid.shape, _spacing(problem.grid)
        parts = self._parts(problem.time_step)
        self._check_memory(length * parts, size)
        fields, apart, between = self._examples(problem, spacing)
        root = IsotropicSpectrum(fields[:, 0], apart).root(size, spacing)
        forcing: tuple[np.ndarray, ...] = ()
        if self.layers == 1:
            error = self._model_error(fields[:, :, 0], apart, between)
            forcing = error.root(size, spacing), error.modes(length - 1, problem.time_step)
        shape = (length, *size)
        return root, InitialHeights(
            self._ode(spacing), root, shape, problem.time_step, parts, *forcing
        )

    def _parts(self, days):
        """Steps of the dynamics in some days."""
        return int(np.ceil(24 * days / self.dynamics_step - 1e-9))

    def _examples(self, problem, spacing):
        """Heights that follow each other, [sample, time, layer, y, x]; how far apart, and when."""
        if problem.states is None:
            heights, apart = simulated_heights(self.system)
            return heights[:, :, : self.layers], apart, 1.0
        count = problem.states.shape[1] // SUCCESSIVE
        if not count:
            raise InputError(
                f"Received states of {problem.states.shape[1]} times; expected {SUCCESSIVE} or "
                "more, by which the error of the dynamics is seen."
            )
        samples = np.arange(len(problem.states) * count)
        chosen = samples[:: max(len(samples) // EXAMPLES, 1)]
        fields = [
            problem.states[each // count, SUCCESSIVE * (each % count) :][:SUCCESSIVE]
            for each in chosen
        ]
        return np.array(fields, "float64")[:, :, None], spacing, problem.time_step

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
            dtype="float32",
        )

    def _model_error(self, fields, spacing, time_step):
        import tensorflow as tf

        from tf4dvar.layers import QuasiGeostrophicFlow

        parts = self._parts(time_step)
        flow = QuasiGeostrophicFlow(self._ode(spacing), time_step, parts, dtype="float32")
        states = fields[:, None, ..., None].astype("float32")
        flow.build(states[0].shape)
        predict = tf.function(flow.call, autograph=False)
        predicted = np.concatenate([predict(each)[..., 0] for each in states])
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
    """The smallest v_0 of which B^(1/2) makes some heights, of all layers or of the upper one."""
    known = np.moveaxis(root[: len(heights)], (0, 1), (2, 3))
    waves = np.moveaxis(fft.rfft2(heights), 0, 2)[..., None]
    transposed = np.swapaxes(known, -2, -1)
    control = transposed @ np.linalg.solve(known @ transposed, waves)
    return fft.irfft2(np.moveaxis(control[..., 0], 2, 0), heights.shape[-2:]).ravel()


def _spacing(grid: Grid) -> float:
    """Of the points in y and x, m."""
    distances = np.concatenate([np.diff(axis) for axis in (grid.y, grid.x)])
    rows, columns = grid.shape
    spacing = float(np.mean(distances))
    if None in grid.periods or not grid.sea.all():
        raise InputError(
            "Received a grid with land or without periods; expected a box that repeats in y and x "
            "(the attribute modulo of both coordinates). Take a method that knows no dynamics."
        )
    expected = [spacing * rows, spacing * columns]
    measured = [*distances, *grid.periods]
    if not np.allclose(measured, [spacing] * len(distances) + expected, rtol=1e-3):
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
            f"Received maps that are {steps.min():g} to {steps.max():g} days apart; expected "
            "regular times. Put them on regular ones, with NaN where nothing is observed."
        )
    return problem.time_step
