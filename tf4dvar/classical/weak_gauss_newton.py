"""Weak-constraint 4DVar by Gauss-Newton steps, and with annealed model error."""

from collections.abc import Sequence

import keras
import numpy as np

from tf4dvar.classical.analysis import Analysis, Progress, in_chunks, windows_at_once
from tf4dvar.classical.covariance import Covariance, ErrorCovariances, Gaussian
from tf4dvar.classical.first_guess import first_guess
from tf4dvar.classical.levenberg_marquardt import levenberg_marquardt
from tf4dvar.classical.tangent_linear import one_step_model
from tf4dvar.classical.weak_cost import CostWeights, WeakConstraint
from tf4dvar.errors import InputError

ITERATIONS = 200
STAGE_ITERATIONS, STAGE_TOLERANCE = 20, 1e-3


def weak_gauss_newton(
    observations: np.ndarray,
    flow: keras.layers.Layer,
    weights: CostWeights,
    background: Gaussian | None = None,
    start: np.ndarray | None = None,
    tolerance: float = 1e-6,
    progress: Progress | None = None,
) -> Analysis:
    """Minimise the weak-constraint cost by Levenberg-Marquardt steps.

    Args:
        observations: [window, time, component], physical units, NaN = not observed.
        flow: the dynamics, a `OneStepFlow` of dtype float64.
        weights: `AveragedTerms`, or `ErrorCovariances` in full, diagonal or scalar.
        background: what is known of the first state, the climatology say.
        start: first states, shaped as the observations; their interpolation by default.
        tolerance: relative decrease of the cost that a converged step still promises.
        progress: called with the windows done and their number.

    Returns:
        Costs are those of `WeakConstraint`.
    """
    return weak_annealed(
        observations, flow, (weights,), background, start, tolerance, progress=progress
    )


def weak_annealed(
    observations: np.ndarray,
    flow: keras.layers.Layer,
    stages: Sequence[CostWeights],
    background: Gaussian | None = None,
    start: np.ndarray | None = None,
    tolerance: float = 1e-6,
    steps: int | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Minimise one weak-constraint cost after another, each minimum being the next start.

    With a model error that falls, the observations lead at first and the dynamics in the end:
    the strong constraint is reached by a way with few local minima.

    Args:
        observations, flow, background, start, tolerance, progress: as `weak_gauss_newton`.
        stages: weights of one cost after another, see `annealing`; the tolerance is the last's.
        steps: of Levenberg-Marquardt in all, at most, which the stages share evenly; by default
            each has as many as it needs.

    Returns:
        Costs and convergence of the last stage; iterations of all.
    """
    if steps is not None and steps < len(stages):
        raise InputError(
            f"Received steps={steps} for {len(stages)} stages; expected one step for each at least."
        )
    model = one_step_model(flow, observations.shape[-1])
    start = first_guess(observations) if start is None else start
    share = ITERATIONS if steps is None else steps // len(stages)

    def analyse(windows: slice) -> Analysis:
        states = start[windows]
        iterations = np.zeros(len(states), int)
        for weights in stages:
            last = weights is stages[-1]
            minimum = levenberg_marquardt(
                WeakConstraint(model, observations[windows], weights, background),
                states,
                share if last else min(share, STAGE_ITERATIONS),
                tolerance if last else STAGE_TOLERANCE,
            )
            states, iterations = minimum.states, iterations + minimum.iterations
        return Analysis(states, minimum.costs, iterations, minimum.converged)

    chunk = windows_at_once(4 * observations[0].size * observations.shape[-1])
    return in_chunks(analyse, observations, chunk, progress)


def annealing(observation: Covariance, first: float, last: float) -> list[ErrorCovariances]:
    """Weights for `weak_annealed`: model error variances that fall tenfold from stage to stage.

    Args:
        observation: R, the same in all stages.
        first, last: variance of the model error in the first and the last stage.

    Raises:
        InputError: not 0 < last <= first.
    """
    if not 0 < last <= first:
        raise InputError(f"Received first={first} and last={last}; expected 0 < last <= first.")
    stages = round(np.log10(first / last)) + 1
    return [ErrorCovariances(observation, v) for v in np.geomspace(first, last, stages)]
