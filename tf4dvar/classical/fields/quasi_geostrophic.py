"""4DVar with quasi-geostrophic dynamics, window by window."""

from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.optimize import minimize

from tf4dvar.classical.fields.isotropic import IsotropicSpectrum
from tf4dvar.classical.fields.method import FieldAnalysis
from tf4dvar.classical.fields.model_error import ModelError
from tf4dvar.classical.fields.quasi_geostrophic_method import (
    QuasiGeostrophicMethod,
    spacing_of,
    time_step_of,
)
from tf4dvar.classical.method import setting
from tf4dvar.runtime import check_memory

# From which L-BFGS estimates the Hessian.
GRADIENTS = 20
# Times as many iterations in a first window that begins from nothing: what is never seen is found
# last.
FIRST = 3
# Of a first guess, beside its standard deviation: its finest scales are hardly any information, and
# beside the little that these have in the background they would be immense.
GUESS_ERROR = 0.1
# Fields that a step holds while it is differentiated, about.
HELD = 300


@dataclass(frozen=True)
class QuasiGeostrophicAssimilation(QuasiGeostrophicMethod):
    """4DVar with quasi-geostrophic dynamics, of one layer or of two.

    In a periodic box, as of `tf4dvar simulate qg`. In each window it seeks the first heights from
    which the dynamics lead through the observations (Le Dimet and Talagrand 1986). Two layers hold
    exactly, the lower is never seen. One layer is also forced: what it leaves out lasts for days,
    and is sought with the first heights (weak constraint). Spectra of heights and of the forcing
    are those of the states that the problem gives, for one layer; else of turbulence that it
    simulates, once in a process. L-BFGS begins where the window before went, the first one at the
    first guess; without any it takes thrice the iterations. The first days and the last are less
    certain.

    Raises:
        InputError: the grid is no periodic box of square cells without land, times are not regular,
            or a window is too large for the memory.
    """

    name = "4dvar-qg"
    takes_first_guess = True
    window: float = setting(21.0, "Days of a window.", positive=True)
    shift: float = setting(7.0, "Days from a window to the next.", positive=True)
    iterations: int = setting(
        40,
        "Of L-BFGS in a window, at most; thrice in a first that begins from nothing.",
        at_least=1,
    )
    dynamics_step: float = setting(6.0, "Of the dynamics, hours at most.", positive=True)

    def solve(self, problem, progress):
        """See `FieldMethod.analyse`."""
        time_step = time_step_of(problem)
        members, times, *_ = problem.observations.shape
        length = min(max(round(self.window / time_step), 2), times)
        shift = min(max(round(self.shift / time_step), 1), length - 1)
        windows, (root, cost) = _windows(times, length, shift), self._cost(problem, length)
        states, iterations = np.empty(problem.observations.shape), []
        for member in range(members):
            heights, before = np.zeros((1, *cost.initial_shape)), 0
            for start, kept in windows:
                first, error, most = heights[start - before], 0.0, self.iterations
                if not start and problem.first_guess is not None:
                    first = problem.first_guess[member, :1]
                    error = (GUESS_ERROR * first.std()) ** 2
                elif not start:
                    most *= FIRST
                control = _control(root, first, error)
                seen = (member, slice(start, start + length))
                observed = problem.observed[seen]
                weights = np.zeros(observed.shape)
                np.divide(1, problem.variance[seen], out=weights, where=observed)
                found = minimize(
                    cost,
                    np.pad(control, (0, cost.size - len(control))),
                    (np.where(observed, problem.observations[seen], 0.0), weights),
                    jac=True,
                    method="L-BFGS-B",
                    options={"maxiter": most, "maxcor": GRADIENTS},
                )
                heights, before = cost.trajectory(found.x), start
                states[member, kept] = heights[kept - start, 0]
                iterations.append(found.nit)
                progress(len(iterations), members * len(windows))
        return FieldAnalysis(states, settings={"iterations": float(np.mean(iterations))})

    def _cost(self, problem, length):
        """B^(1/2), and the cost of a window."""
        from tf4dvar.classical.fields.initial_heights import InitialHeights

        size, spacing = problem.grid.shape, spacing_of(problem.grid)
        parts = self._parts(problem.time_step)
        self._check_memory(length * parts, size)
        fields, apart, between = self.examples(problem, spacing)
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
        check_memory(
            4 * (steps + HELD) * self.layers * np.prod(size),
            f"A window of {steps} steps at {size[0]} x {size[1]} points",
            "Take a shorter window, a longer time step or a coarser grid.",
        )


def _windows(times: int, length: int, shift: int) -> list[tuple[int, np.ndarray]]:
    """Where each window begins, and the times of which its centre is the nearest."""
    starts = np.unique([*range(0, times - length, shift), times - length])
    nearest = np.abs(np.arange(times)[:, None] - starts - (length - 1) / 2).argmin(axis=1)
    return [(start, np.flatnonzero(nearest == each)) for each, start in enumerate(starts)]


def _control(root: np.ndarray, heights: np.ndarray, variance: float) -> np.ndarray:
    """The likeliest v_0 given heights of all layers or of the upper one, which have white errors.

    Without errors it is the smallest of which B^(1/2) makes them.
    """
    known = np.moveaxis(root[: len(heights)], (0, 1), (2, 3))
    waves = np.moveaxis(fft.rfft2(heights), 0, 2)[..., None]
    transposed = np.swapaxes(known, -2, -1)
    errors = variance * np.eye(len(heights))
    control = transposed @ np.linalg.solve(known @ transposed + errors, waves)
    return fft.irfft2(np.moveaxis(control[..., 0], 2, 0), heights.shape[-2:]).ravel()
