"""Whether a method errs by as much as it says.

Scores of a normal distribution around a state, and of samples; see Gneiting and Raftery (2007,
doi:10.1198/016214506000001437). Smaller is better of CRPS and energy score, and neither is to be
had by a spread that is not that of the truth.
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.special import ndtri

from tf4dvar.data import time_step_of
from tf4dvar.evaluation.metrics import gaussian_crps
from tf4dvar.evaluation.scores import in_order
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import System

# Of intervals, in percent.
INTERVALS = (50, 90, 99)
# Classes of spread, of equally many entries each.
CLASSES = 10


def within(percent: int) -> float:
    """Half of that interval of a normal distribution, in standard deviations.

    Args:
        percent: of it that is in the interval.
    """
    return float(ndtri(0.5 + percent / 200))


def calibration(error: np.ndarray, spread: np.ndarray) -> dict[str, float]:
    """How well stated errors are those that are made.

    Args:
        error: of states, any shape.
        spread: its standard deviation as stated, the same shape.

    Returns:
        `scaled_error`, the standard deviation of the error divided by the spread, 1 where it is
        right; `within_90_percent`, the share inside the interval of 90 % of a normal distribution;
        `crps`, the continuous ranked probability score of this distribution, in the units of the
        error, smaller is better.
    """
    scaled = error / spread
    return {
        "scaled_error": float(scaled.std()),
        "within_90_percent": float((np.abs(scaled) <= within(90)).mean()),
        "crps": float(gaussian_crps(error, spread).mean()),
    }


def full_calibration(error: np.ndarray, spread: np.ndarray) -> dict[str, Any]:
    """More of the same, of entries whose truth is known.

    Args:
        error: of states, any shape, NaN where the truth is not known.
        spread: its standard deviation as stated, the same shape.

    Returns:
        What `calibration` gives; `spread_over_error`, the root of mean squares of the one over that
        of the other; `within_50_percent` and `within_99_percent`; and `by_spread`, both roots in
        ten classes of spread, of equally many entries, from the least on.
    """
    known = np.isfinite(error)
    error, spread = error[known], spread[known]
    return {
        **calibration(error, spread),
        "spread_over_error": _size(spread) / _size(error),
        **{
            f"within_{each}_percent": float((np.abs(error) <= within(each) * spread).mean())
            for each in INTERVALS
            if each != 90
        },
        "by_spread": by_spread(error, spread),
    }


def by_spread(error: np.ndarray, spread: np.ndarray) -> list[dict[str, float]]:
    """The roots of mean squares of both, in classes of spread of equally many entries.

    Args:
        error, spread: of entries whose truth is known, one shape.
    """
    error, spread = error.ravel(), spread.ravel()
    classes = np.array_split(np.argsort(spread, kind="stable"), min(CLASSES, error.size))
    return [{"spread": _size(spread[some]), "error": _size(error[some])} for some in classes]


def _size(values):
    return float(np.sqrt(np.square(values).mean()))


class SampleScores(NamedTuple):
    """How good samples of windows are, before means over windows; see `sample_scores`.

    Attributes:
        crps: [window], the mean over the known entries.
        energy: [window], of all entries together, by the root of their number.
        ranks: how often the truth was above so many of the samples, [window, sample + 1].
        inside: known entries within the samples' intervals of 50, 90 and 99 %, [window, 3].
    """

    crps: np.ndarray
    energy: np.ndarray
    ranks: np.ndarray
    inside: np.ndarray


def sample_scores(samples: np.ndarray, truth: np.ndarray) -> SampleScores:
    """CRPS, energy score, ranks and intervals of samples, without a bias by their number.

        E |X - y| - E |X - X'| / 2

    of single entries, CRPS, or of all known entries of a window, energy score. Its norm is divided
    by the root of their number: it is in their units, and about as large as their errors.

    Args:
        samples: [sample, window, ...], two or more.
        truth: [window, ...], NaN where it is not known.
    """
    number = len(samples)
    pairs = np.triu_indices(number, 1)
    # Weights of sorted samples in the mean of |X - X'|.
    sorting = (2 * np.arange(1, number + 1) - number - 1) / (number * (number - 1))
    rows = []
    for window, true in enumerate(truth):
        known = np.isfinite(true)
        some, of = samples[:, window][:, known].astype("float64"), true[known]
        ordered = np.sort(some, axis=0)
        crps = np.abs(some - of).mean(axis=0) - sorting @ ordered
        distances = np.linalg.norm(some - of, axis=1)
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a b, of departures from the mean, which lose few digits.
        centred = some - some.mean(axis=0)
        gram = centred @ centred.T
        squares = np.diag(gram)
        between = np.sqrt(np.maximum(squares[:, None] + squares - 2 * gram, 0.0))[pairs]
        energy = (distances.mean() - between.mean() / 2) / np.sqrt(max(known.sum(), 1))
        ranks = np.bincount((some < of).sum(axis=0), minlength=number + 1)
        limits = [
            np.quantile(ordered, (0.5 - each / 200, 0.5 + each / 200), axis=0) for each in INTERVALS
        ]
        inside = [((low <= of) & (of <= high)).sum() for low, high in limits]
        rows.append((crps.mean(), energy, ranks, inside))
    return SampleScores(*(np.array(each) for each in zip(*rows, strict=True)))


def sample_calibration(scores: SampleScores) -> dict[str, Any]:
    """The same over all windows.

    Returns:
        `crps`, `energy_score`, `within_50_percent` and so on, and `ranks`, the share of the truth
        in ten classes of ranks, 0.1 each where samples are as the truth is.

    Args:
        scores: of `sample_scores`.
    """
    total, known = scores.ranks.sum(axis=0), scores.ranks.sum()
    edges = np.linspace(0, len(total), CLASSES + 1)
    # A rank that two classes share counts by what each has of it.
    cumulative = np.interp(edges, np.arange(len(total) + 1), np.concatenate([[0], total.cumsum()]))
    return {
        "crps": float(np.nanmean(scores.crps)),
        "energy_score": float(scores.energy.mean()),
        **{
            f"within_{each}_percent": float(inside / known)
            for each, inside in zip(INTERVALS, scores.inside.sum(axis=0), strict=True)
        },
        "ranks": (np.diff(cumulative) / known).tolist(),
    }


def model_calibration(
    model: FourDVarNet,
    dataset: xr.Dataset,
    samples: int,
    seed: int = 0,
    system: System | None = None,
) -> dict[str, Any]:
    """How right a model's standard deviations, and its samples, are on windows with `truth`.

    Args:
        model: with an `uncertainty`.
        dataset: the windows.
        samples: number of samples of each window; none, or two or more.
        seed: of them.
        system: whose dynamics the states obey, if it is known.

    Returns:
        `calibration`, see `full_calibration`, and of samples `calibration_of_samples`, see
        `sample_calibration`, with `step_residual`: the root of the mean square by which a sample
        departs from the dynamics in one step, where the system is known and has no covariates.
    """
    dataset = in_order(dataset, system)
    truth = dataset["truth"].values
    mean, std = model.posterior(dataset)
    told: dict[str, Any] = {"calibration": full_calibration(mean - truth, std)}
    if not samples:
        return told
    drawn = model.sample(dataset, samples, seed)
    told["calibration_of_samples"] = sample_calibration(sample_scores(drawn, truth))
    if system is not None and not system.covariates:
        time_step = time_step_of(dataset, system)
        steps = [system.step(each[:, :-1], time_step=time_step) for each in drawn]
        residual = np.concatenate(steps) - np.concatenate(drawn[:, :, 1:])
        told["calibration_of_samples"]["step_residual"] = _size(residual)
    return told
