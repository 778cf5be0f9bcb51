"""Arrays that are not what the user means them to be.

What is certainly wrong is an `InputError`; what is likely wrong is a warning in the log. Both
give the numbers and say what to do.
"""

import logging

import numpy as np

from tf4dvar.errors import DivergenceError, InputError
from tf4dvar.systems.axes import axes_but

logger = logging.getLogger(__name__)

# Windows that a look at the components' order takes.
LOOK = 64


def check_observations(
    observations: np.ndarray, components: int | None = None, rank: int = 3
) -> None:
    """Refuse what is not [window, time, *space, component] of numbers, each finite or NaN.

    Args:
        observations: the array to check.
        components: the expected number of components, where it is known.
        rank: number of axes.
    """
    if observations.ndim != rank:
        space = "".join(f"space {axis}, " for axis in range(1, rank - 2))
        missing = " Add the missing axes." if observations.ndim < rank else ""
        raise InputError(
            f"Received observations of shape {observations.shape}; "
            f"expected [window, time, {space}component].{missing}"
        )
    if not np.issubdtype(observations.dtype, np.floating):
        raise InputError(
            f"Received observations of type {observations.dtype}; "
            "expected floating-point numbers, NaN where nothing is observed."
        )
    if not observations.size:
        raise InputError(
            f"Received observations of shape {observations.shape}, which are none; "
            "expected at least one window, time and component."
        )
    if components is not None and observations.shape[-1] != components:
        raise InputError(
            f"Received observations of shape {observations.shape}; expected "
            f"{components} components on the last axis, {_remedy(observations.shape, components)}."
        )
    with np.errstate(over="ignore"):  # in the single precision that models compute in
        infinite = np.isinf(observations.astype("float32"))
    if infinite.any():
        raise InputError(
            f"Received {infinite.sum()} infinite observations (3.4e38 or more), the first at "
            f"[window, time, component] = {np.argwhere(infinite)[0].tolist()}; "
            "mark a missing value with NaN."
        )


def _remedy(shape: tuple[int, ...], components: int) -> str:
    if components not in shape[:-1]:
        return "an unobserved one filled with NaN"
    if shape.index(components) == 1:
        return (
            "which seem to be on axis 1: np.transpose(observations, (0, 2, 1)) puts "
            "[window, component, time] right, (2, 0, 1) [time, component, window]"
        )
    return (
        "which seem to be on axis 0: np.transpose(observations, (1, 2, 0)) puts "
        "[component, window, time] right, (2, 1, 0) [component, time, window]"
    )


def check_truth(observations: np.ndarray, truth: np.ndarray, same_components: bool = True) -> None:
    """Refuse true states that are not those of the observations' windows and times.

    Args:
        observations: [window, time, component].
        truth: [window, time, component].
        same_components: whether the observations are of the components of the truth.
    """
    axes = slice(None) if same_components else slice(-1)
    if truth.ndim != observations.ndim or truth.shape[axes] != observations.shape[axes]:
        raise InputError(
            f"Received observations of shape {observations.shape} and true states of shape "
            f"{truth.shape}; expected [window, time, component] of both, with the same windows "
            f"and times{' and components, unobserved ones NaN' if same_components else ''}."
        )
    if not np.isfinite(truth).any():
        raise InputError(
            f"None of the true states of shape {truth.shape} is a finite number: there is nothing "
            "to learn from. Give true states, or none after compile(loss=UnsupervisedLoss())."
        )


def check_states(states: np.ndarray, reason: str) -> None:
    """Refuse reconstructed states that are not finite.

    Args:
        states: [window, time, component].
        reason: why they may not be, and what to do.

    Raises:
        DivergenceError: some are not.
    """
    finite = np.isfinite(states).all(axes_but(0, states))
    if not finite.all():
        raise DivergenceError(
            f"The states of {(~finite).sum()} of {len(states)} windows are not finite, the first "
            f"of them number {np.flatnonzero(~finite)[0]}: {reason}."
        )


def warn_of_full_observation(observations: np.ndarray) -> None:
    """Warn where nothing is missing.

    Args:
        observations: [window, time, component].
    """
    if not np.isnan(observations).any():
        logger.warning(
            "No entry of the observations of shape %s is NaN: every component is taken as "
            "observed at every time. Where that is not so, make what is not observed NaN.",
            observations.shape,
        )


def warn_of_swapped_components(observations: np.ndarray, truth: np.ndarray) -> None:
    """Warn where an observed component is much nearer to another component of the truth.

    Args:
        observations, truth: [window, time, component].
    """
    truth = truth[:LOOK].reshape(-1, truth.shape[-1]).astype("float64")
    values = observations[:LOOK].reshape(truth.shape).astype("float64")
    known = np.isfinite(truth).all(axis=1)
    truth, values = truth[known], values[known]
    observed = np.isfinite(values).astype("float64")
    count = observed.sum(0)
    if not count.any():
        return
    # Mean of (y_i - x_j)^2 over the observed y_i, [i, j], multiplied out into matrix products.
    values = np.where(observed > 0, values, 0.0)
    departure = (
        np.square(values).sum(0)[:, None] - 2 * values.T @ truth + observed.T @ np.square(truth)
    ) / np.maximum(count, 1)[:, None]
    own, nearest = departure.diagonal(), departure.argmin(axis=1)
    least = departure.min(axis=1)
    # What is left of the sums of squares by rounding is no departure.
    rounding = 1e-12 * np.square(values).sum(0) / np.maximum(count, 1)
    variance = np.square(truth - truth.mean(0)).mean(0)
    swapped = np.flatnonzero(
        (count > 0) & (own > 4 * least + rounding) & (least < variance[nearest] / 2)
    )
    if swapped.size:
        first = swapped[0]
        logger.warning(
            "%s of the observations is nearer to component %d of the true states (mean squared "
            "departure %.3g) than to its own (%.3g). Give both their components in the same order.",
            _named(swapped),
            nearest[first],
            least[first],
            own[first],
        )


def warn_of_units(observations: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> None:
    """Warn where observed values are far from those that a model was adapted to.

    Args:
        observations: [window, time, component].
        mean, deviation: of the model's normalisation, [component].
    """
    _warn_where_far(
        observations,
        mean,
        deviation,
        "%s of the observations has the mean %.3g and the deviation %.3g; the model is adapted "
        "to a mean of %.3g and a deviation of %.3g. Give the units, and the order of the "
        "components, of the observations that `adapt` was given.",
    )


def warn_of_scale(truth: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> None:
    """Warn where true values are far from the normalisation that a model computes them in.

    Args:
        truth: [window, time, component].
        mean, deviation: of the model's normalisation, [component].
    """
    _warn_where_far(
        truth,
        mean,
        deviation,
        "%s of the true states has the mean %.3g and the deviation %.3g; the model scales it "
        "by a mean of %.3g and a deviation of %.3g, and will hardly learn it. Give the truth's "
        "scale too before training: adapt(observations, truth).",
    )


def _warn_where_far(windows, mean, deviation, message):
    far = _far_from(windows, mean, deviation)
    if far.size:
        values = windows[..., far[0]].astype("float64")
        values = values[np.isfinite(values)]
        moments = values.mean(), values.std(), mean[far[0]], deviation[far[0]]
        logger.warning(message, _named(far), *moments)


def _far_from(windows, mean, deviation):
    """The components whose values a normalisation by such numbers does not fit."""
    known, every = np.isfinite(windows), axes_but(-1, windows)
    count = known.sum(every)
    departures = np.where(known, (windows - mean.astype("float64")) / deviation, 0.0)
    square = np.square(departures).sum(every) / np.maximum(count, 1)
    spread = square - np.square(departures.sum(every) / np.maximum(count, 1))
    # One window may be calm; many that hardly differ are in a larger unit, but for what was
    # constant when the model was adapted, and is it still.
    same = np.sqrt(square) * deviation <= 1e-5 * np.abs(mean)
    calm = (spread < 0.01**2) & (len(windows) > 1) & ~same
    return np.flatnonzero((count > 1) & ((square > 10**2) | calm))


def _named(components: np.ndarray) -> str:
    others = len(components) - 1
    return f"Component {components[0]}" + (f" (and {others} others)" if others else "")
