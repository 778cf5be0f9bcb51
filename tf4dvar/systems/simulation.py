"""Trajectories and windows of a dynamical system."""

from collections.abc import Callable

import numpy as np
import scipy

from tf4dvar.errors import InputError
from tf4dvar.systems.axes import axes_but
from tf4dvar.systems.system import System

INTEGRATORS = ("rk4", "rk45")


def covariates_of_steps(covariates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `System.step` takes for the steps between times, from one to the next linear.

    Args:
        covariates: [..., time, covariate].
    """
    now, following = covariates[..., :-1, :], covariates[..., 1:, :]
    return now, (now + following) / 2, following


def _step_from(system: System, state: np.ndarray, time: float) -> np.ndarray:
    """A step from a time on, by the covariates that the system knows."""
    if not system.covariates:
        return system.step(state)
    times = time + system.time_step * np.array([0.0, 0.5, 1.0])
    first, middle, last = (
        np.broadcast_to(each, (*state.shape[:-1], each.shape[-1]))
        for each in system.covariates_at(times)
    )
    return system.step(state, covariates=(first, middle, last))


def trajectories(system: System, initial: np.ndarray, steps: int) -> np.ndarray:
    """Many trajectories side by side by `System.step`.

    Args:
        system: the dynamical system.
        initial: states at the first time, which is 0, [window, component].
        steps: number of times, the first included.

    Returns:
        [window, time, component], float64.
    """
    states = np.empty((len(initial), steps, initial.shape[-1]))
    state = initial
    for step in range(steps):
        states[:, step] = state
        if step + 1 < steps:
            state = _step_from(system, state, step * system.time_step)
    return states


def trajectories_rk45(system: System, initial: np.ndarray, steps: int) -> np.ndarray:
    """As `trajectories`, by SciPy's adaptive `solve_ivp` RK45, one window at a time.

    This is how the paper simulates; some 500 times slower than `trajectories`.
    """
    times = system.time_step * np.arange(steps)
    return np.stack(
        [
            scipy.integrate.solve_ivp(
                lambda time, state: system.tendency(
                    state, system.covariates_at(time) if system.covariates else None
                ),
                (0.0, times[-1]),
                state,
                t_eval=times,
                rtol=1e-6,
                atol=1e-8,
            ).y.T
            for state in initial
        ]
    )


def windows_from(
    system: System, initial: np.ndarray, steps: int, integrator: str = "rk4"
) -> np.ndarray:
    """The windows that follow the system's spin-up from initial states, each by itself.

    Their first time is 0, which matters where covariates are functions of time.

    Args:
        system: the dynamical system.
        initial: [window, component].
        steps: number of times of each.
        integrator: "rk4" (`System.step`, vectorised) or "rk45" (`solve_ivp`, as in the paper).

    Returns:
        [window, time, component], float64, physical units; not finite where a trajectory is not.
    """
    state = initial
    integrate = trajectories if integrator == "rk4" else trajectories_rk45
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(-system.spin_up, 0):
            state = _step_from(system, state, step * system.time_step)
        return integrate(system, state, steps)


def sample_windows(
    system: System,
    count: int,
    steps: int = 200,
    seed: int | np.random.Generator = 0,
    integrator: str = "rk4",
    simulate: Callable[[System, np.ndarray, int, str], np.ndarray] = windows_from,
) -> np.ndarray:
    """Independent windows of a system.

    Each comes from an initial state of its own after the system's spin-up; the same seed gives
    the same windows bit for bit.

    Args:
        system: the dynamical system.
        count: number of windows.
        steps: number of times of each.
        seed: an integer, or a generator.
        integrator: see `windows_from`.
        simulate: what computes it, for example in other processes: `tf4dvar.scale.simulation`.

    Returns:
        [window, time, component], float64, physical units.

    Raises:
        InputError: there is nothing to simulate, or the trajectories do not stay finite.
    """
    if count < 1 or steps < 2:
        raise InputError(
            f"Received {count} windows of {steps} steps; expected at least 1 window of 2 steps."
        )
    if integrator not in INTEGRATORS:
        raise InputError(f"Received integrator={integrator!r}; expected one of {INTEGRATORS}.")
    initial = system.initial_states(count, np.random.default_rng(seed))
    windows = simulate(system, initial, steps, integrator)
    finite = np.isfinite(windows).all(axes_but(0, windows))
    if not finite.all():
        raise InputError(
            f"{(~finite).sum()} of {count} trajectories of {system.name} do not stay finite with "
            f"time_step={system.time_step}: the step is too large, or the initial states lie "
            f"where the system has no bounded solution. Try time_step={system.time_step / 4:g}."
        )
    return windows
