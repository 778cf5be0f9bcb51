"""Strong-constraint 4DVar: from one start, from several, and quasi-static."""

import keras
import numpy as np

from tf4dvar.classical.analysis import Analysis, Progress, in_chunks, windows_at_once
from tf4dvar.classical.covariance import Covariance, Gaussian
from tf4dvar.classical.levenberg_marquardt import Minimum, levenberg_marquardt
from tf4dvar.classical.strong_cost import StrongConstraint
from tf4dvar.classical.tangent_linear import one_step_model
from tf4dvar.systems import random_stream

ITERATIONS = 100
# Along a chaotic trajectory the last digits of the cost cost many steps and gain nothing.
TOLERANCE = 1e-5
# While the window grows, the minimum only has to be followed.
GROWTH_ITERATIONS, GROWTH_TOLERANCE = 10, 1e-2


def strong(
    observations: np.ndarray,
    flow: keras.layers.Layer,
    observation_covariance: Covariance,
    background: Gaussian,
    starts: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> Analysis:
    """Minimise the strong-constraint cost over the initial state, from one or several starts.

    The first start is the mean of the background, the others are drawn from it; the lowest
    cost wins. Long windows of chaotic systems have very many minima (Pires et al. 1996).

    Args:
        observations: [window, time, component], physical units, NaN = not observed.
        flow: the dynamics, a `OneStepFlow` of dtype float64.
        observation_covariance: R.
        background: what is known of the initial state, the climatology say.
        starts: number of starts.
        seed: of the starts.
        progress: called with the windows done and their number.

    Returns:
        Costs are those of `StrongConstraint`; iterations those of the start that won.
    """
    model = one_step_model(flow, observations.shape[-1])
    drawn = background.draw(random_stream("4DVar starts", seed), starts - 1, len(observations))

    def analyse(windows: slice) -> Analysis:
        cost = StrongConstraint(model, observations[windows], observation_covariance, background)
        mean = np.broadcast_to(background.mean, (len(observations[windows]), model.components))
        best = levenberg_marquardt(cost, mean, ITERATIONS, TOLERANCE)
        for start in drawn[:, windows]:
            best = _better(best, levenberg_marquardt(cost, start, ITERATIONS, TOLERANCE))
        return Analysis(best.states, best.costs, best.iterations, best.converged)

    return in_chunks(analyse, observations, _chunk(observations), progress)


def strong_quasistatic(
    observations: np.ndarray,
    flow: keras.layers.Layer,
    observation_covariance: Covariance,
    background: Gaussian,
    progress: Progress | None = None,
) -> Analysis:
    """Minimise the strong-constraint cost over a window that grows by one observed time at a time.

    Each minimum is the next start, so the minimisation stays in the valley of the global
    minimum: quasi-static variational assimilation, Pires, Vautard and Talagrand (1996),
    doi:10.1034/j.1600-0870.1996.00006.x.
    Arguments as for `strong`.

    Returns:
        Costs are those of `StrongConstraint`; iterations those over the whole window.
    """
    model = one_step_model(flow, observations.shape[-1])

    def analyse(windows: slice) -> Analysis:
        cost = StrongConstraint(model, observations[windows], observation_covariance, background)
        control = np.tile(background.mean, (len(observations[windows]), 1))
        for time in cost.observed_times[:-1]:
            cost.show(time + 1)
            control = levenberg_marquardt(
                cost, control, GROWTH_ITERATIONS, GROWTH_TOLERANCE
            ).control
        cost.show(observations.shape[1])
        minimum = levenberg_marquardt(cost, control, ITERATIONS, TOLERANCE)
        return Analysis(minimum.states, minimum.costs, minimum.iterations, minimum.converged)

    return in_chunks(analyse, observations, _chunk(observations), progress)


def _better(first: Minimum, second: Minimum) -> Minimum:
    """Of every window the minimum of lower cost."""
    wins = second.costs < first.costs
    return Minimum(
        *(
            np.where(wins.reshape(-1, *[1] * (new.ndim - 1)), new, old)
            for old, new in zip(first, second, strict=True)
        )
    )


def _chunk(observations: np.ndarray) -> int:
    return windows_at_once(observations[0].size * observations.shape[-1])
