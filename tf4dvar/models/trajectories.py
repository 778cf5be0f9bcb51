"""Windows brought onto trajectories of known dynamics."""

import logging
from functools import lru_cache

import keras
import numpy as np
from scipy.ndimage import gaussian_filter1d

from tf4dvar.classical import Gaussian, Problem
from tf4dvar.classical.analysis import Analysis, in_chunks, windows_at_once
from tf4dvar.classical.levenberg_marquardt import levenberg_marquardt
from tf4dvar.classical.strong import minimum_from
from tf4dvar.classical.strong_cost import StrongConstraint
from tf4dvar.classical.strong_quasistatic import GROWTH_ITERATIONS, GROWTH_TOLERANCE
from tf4dvar.layers import OneStepFlow
from tf4dvar.layers.checks import build_once

logger = logging.getLogger(__name__)

# Of the first state, in what the windows vary by: it is to say nothing.
BACKGROUND_VARIANCE = 1e6
# By so many steps the window grows in which the nearest is sought.
GROWTH = 20
# Mean square of the departures by what they may be off, from which a trajectory is none of theirs.
FAR = 9.0


def nearest_trajectories(
    flow: OneStepFlow, states: np.ndarray, std: np.ndarray, covariates: np.ndarray | None = None
) -> np.ndarray:
    """The trajectory of a flow that is nearest to each window.

    It is strong-constraint 4DVar of the states as observations of all there is, over a window that
    grows, see `StrongQuasistatic`: over many Lyapunov times nearest ones are many. What remains far
    is warned of.

    Args:
        flow: the dynamics.
        states: [window, time, component], physical units; where they are not finite, so is what
            is found.
        std: by how much each of them may be off, same shape.
        covariates: of a forced flow, [window, time, covariate].

    Returns:
        Shaped as the states, in double precision.
    """
    found = np.full(states.shape, np.nan)
    known = np.isfinite(states).all(axis=(1, 2)) & np.isfinite(std).all(axis=(1, 2))
    if not known.any():
        return found
    states, std = states[known].astype("float64"), std[known].astype("float64")
    scale = BACKGROUND_VARIANCE * (states.var(axis=(0, 1)) + np.square(std).mean(axis=(0, 1)))
    problem = Problem(
        states,
        in_double(flow, states.shape[-1]),
        np.square(std),
        Gaussian(states.mean(axis=(0, 1)), scale),
        covariates=None if covariates is None else covariates[known],
    )
    _, steps, components = states.shape
    chunk = windows_at_once(steps * components**2)
    analysis = in_chunks(_nearest, problem, chunk, lambda done, number: None)
    far = analysis.costs > FAR * steps * components
    if far.any():
        logger.warning(
            "%d of %d samples are far from any trajectory of the prior that was found; windows of "
            "a few Lyapunov times have near ones.",
            far.sum(),
            len(far),
        )
    found[known] = analysis.states
    return found


def _nearest(part: Problem) -> Analysis:
    cost, control = StrongConstraint(part), part.values[:, 0]
    whole = cost.steps
    for steps in range(GROWTH, whole, GROWTH):
        cost.show(steps)
        control = levenberg_marquardt(cost, control, GROWTH_ITERATIONS, GROWTH_TOLERANCE).control
    cost.show(whole)
    minimum = minimum_from(cost, control)
    return Analysis(minimum.states, minimum.costs, minimum.iterations, minimum.converged)


def lasting_errors(noise: np.ndarray, segment: int) -> np.ndarray:
    """Noise that lasts for about half a segment, of the same size.

    What is off at one time alone a trajectory through others does not follow.

    Args:
        noise: independent, of variance 1, [window, sample, time, component].
        segment: number of times of a trajectory.
    """
    smooth = gaussian_filter1d(noise, _width(segment), axis=2, mode="nearest")
    # A Gaussian's own square sums to so much less than it does.
    return (smooth * np.sqrt(2 * np.sqrt(np.pi) * _width(segment))).astype(noise.dtype)


def as_large_as(std: np.ndarray, errors: np.ndarray, segment: int) -> np.ndarray:
    """Errors by a factor that changes slowly in time, so that in the mean they are what is stated.

    Args:
        std: of each entry, [window, 1, time, component].
        errors: [window, sample, time, component].
        segment: number of times of a trajectory.
    """
    squares = np.square(errors / std).mean(axis=3, keepdims=True)
    squares = gaussian_filter1d(squares, _width(segment), axis=2, mode="nearest")
    return errors / np.sqrt(squares)


def _width(segment):
    """Of the Gaussian, in times."""
    return segment / 2


def in_double(flow: OneStepFlow, components: int) -> OneStepFlow:
    """A copy of a flow that computes in double precision, with the weights of now.

    Args:
        flow: the dynamics.
        components: of its states.
    """
    copy = _copy_in_double(flow)
    for each in (flow, copy):
        build_once(each, (None, None, components))
    copy.set_weights(flow.get_weights())
    return copy


@lru_cache(maxsize=8)
def _copy_in_double(flow: OneStepFlow) -> OneStepFlow:
    return keras.saving.deserialize_keras_object(
        _with_dtype(keras.saving.serialize_keras_object(flow), "float64")
    )


def _with_dtype(config, dtype):
    """A serialised layer, and all in it, of another dtype."""
    if isinstance(config, dict):
        return {
            name: dtype if name == "dtype" else _with_dtype(of, dtype)
            for name, of in config.items()
        }
    return [_with_dtype(each, dtype) for each in config] if isinstance(config, list) else config
