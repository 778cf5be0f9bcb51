"""The classical methods by name, with settings that suit most windows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np

from tf4dvar.classical.analysis import Analysis, Progress
from tf4dvar.classical.covariance import AveragedTerms, ErrorCovariances, Gaussian, climatology
from tf4dvar.classical.descent import fixed_step_descent, line_search_descent
from tf4dvar.classical.ensemble_smoother import enks
from tf4dvar.classical.optimal_interpolation import optimal_interpolation
from tf4dvar.classical.strong_constraint import strong, strong_quasistatic
from tf4dvar.classical.weak_cost import CostWeights
from tf4dvar.classical.weak_gauss_newton import annealing, weak_annealed, weak_gauss_newton
from tf4dvar.classical.weak_lbfgs import weak_lbfgs
from tf4dvar.data import check_states
from tf4dvar.errors import InputError
from tf4dvar.metrics import OBSERVATION_WEIGHT, PRIOR_WEIGHT
from tf4dvar.systems import System, random_stream, sample_windows


@dataclass(frozen=True)
class Task:
    """Windows to reconstruct, and what is known besides.

    Attributes:
        observations: [window, time, component], physical units, NaN = not observed.
        flow: the dynamics, a `OneStepFlow` of dtype float64.
        system: where climatology and training states come from.
        noise_variance: of the observations.
        start: first states of methods that take a start, shaped as the observations.
    """

    observations: np.ndarray
    flow: keras.layers.Layer
    system: System
    noise_variance: float
    start: np.ndarray | None = None

    @cached_property
    def background(self) -> Gaussian:
        """The climatology."""
        return climatology(self.system)

    def starting_from(self, start: np.ndarray | None) -> "Task":
        """The same task with a start."""
        return replace(self, start=start)


def _fsgd(
    task: Task, progress: Progress | None, steps: int = 150_000, line_search: bool = False
) -> Analysis:
    descend = line_search_descent if line_search else fixed_step_descent
    return descend(task.observations, task.flow, steps, progress=progress)


def _weak(minimise: Callable) -> Callable[..., Analysis]:
    def method(
        task: Task,
        progress: Progress | None,
        observation_weight: float = OBSERVATION_WEIGHT,
        prior_weight: float = PRIOR_WEIGHT,
        model_variance: float | None = None,
    ) -> Analysis:
        weights: CostWeights
        if model_variance is None:
            weights, background = AveragedTerms(observation_weight, prior_weight), None
        else:
            weights = ErrorCovariances(task.noise_variance, model_variance)
            background = task.background
        return minimise(
            task.observations, task.flow, weights, background, task.start, progress=progress
        )

    return method


def _weak_annealed(
    task: Task,
    progress: Progress | None,
    first: float | None = None,
    last: float | None = None,
    steps: int | None = None,
) -> Analysis:
    variances = (10.0, 1e-6) if task.start is None else (0.1, 1e-4)
    stages = annealing(task.noise_variance, first or variances[0], last or variances[1])
    return weak_annealed(
        task.observations,
        task.flow,
        stages,
        task.background,
        task.start,
        steps=steps,
        progress=progress,
    )


def _with_background(method: Callable[..., Analysis], **defaults: Any) -> Callable[..., Analysis]:
    def run(task: Task, progress: Progress | None, **settings: Any) -> Analysis:
        return method(
            task.observations,
            task.flow,
            task.noise_variance,
            task.background,
            progress=progress,
            **{**defaults, **settings},
        )

    return run


def _oi(
    task: Task, progress: Progress | None, training_windows: int = 4000, seed: int = 0
) -> Analysis:
    steps = task.observations.shape[1]
    rng = random_stream("optimal interpolation", seed)
    states = sample_windows(task.system, training_windows, steps, rng)
    return optimal_interpolation(task.observations, states, task.noise_variance, progress)


METHODS: dict[str, Callable[..., Analysis]] = {
    "fsgd": _fsgd,
    "weak-lbfgs": _weak(weak_lbfgs),
    "weak-gauss-newton": _weak(weak_gauss_newton),
    "weak-annealed": _weak_annealed,
    "strong": _with_background(strong),
    "strong-multistart": _with_background(strong, starts=10),
    "strong-quasistatic": _with_background(strong_quasistatic),
    "enks": _with_background(enks),
    "oi": _oi,
}
"""Called with a `Task`, a progress function or None, and settings by keyword."""

STARTED = ("weak-lbfgs", "weak-gauss-newton", "weak-annealed")
"""The methods that take a start."""


def assimilate(
    name: str, task: Task, progress: Progress | None = None, **settings: Any
) -> Analysis:
    """Reconstruct the windows of a task by the method of that name.

    Args:
        name: a key of `METHODS`.
        task: the windows.
        progress: called with the windows done and their number.
        **settings: of the method, see `tf4dvar assimilate METHOD --help`.

    Raises:
        InputError: there is no such method, or it takes no start and the task has one, or a
            state is not finite.
    """
    if name not in METHODS:
        raise InputError(f"Received the method {name!r}; known methods: {', '.join(METHODS)}.")
    if task.start is not None and name not in STARTED:
        raise InputError(f"The method {name} takes no start; those that do: {', '.join(STARTED)}.")
    analysis = METHODS[name](task, progress, **settings)
    check_states(
        analysis.states,
        f"{name} diverges there. Look at the units of the observations and at the settings",
    )
    return analysis
