"""Scores of maps: how much of the field they explain, and the smallest scales that they resolve."""

from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage, signal

from tf4dvar.errors import InputError
from tf4dvar.evaluation.metrics import mean_where_known

# Share of the variance of a scale that makes it resolved.
RESOLVED = 0.5


class FieldScores(NamedTuple):
    """Scores of the ocean data challenges, of maps against the truth.

    Attributes:
        mu: 1 - RMSE / RMS of the truth, over all; 1 is perfect, 0 no better than zero.
        sigma: standard deviation over days of the same of each day.
        lambda_x: the smallest resolved wavelength in x, in the unit of the spacing; see
            `spectral_score`. None where nothing is resolved, or where there is land.
        lambda_t: the smallest resolved period, in the unit of the time step.
        rmse: root mean squared error.
    """

    mu: float
    sigma: float
    lambda_x: float | None
    lambda_t: float | None
    rmse: float


def field_scores(
    states: np.ndarray, truth: np.ndarray, time_step: float, spacing: float
) -> FieldScores:
    """Scores of maps.

    Args:
        states: [..., time, y, x].
        truth: the same, NaN where there is no truth, as on land.
        time_step, spacing: of times, and of points in x.

    Raises:
        InputError: the shapes differ, or nothing of the truth is known.

    Usage:

        from tf4dvar.evaluation.field_scores import field_scores

        x = np.linspace(0, 20 * np.pi, 100)
        truth = np.sin(x + np.arange(30)[:, None, None]) * np.ones((4, 1))
        assert field_scores(0.9 * truth, truth, time_step=1.0, spacing=10.0).mu > 0.89
    """
    states, truth = np.asarray(states, "float64"), np.asarray(truth, "float64")
    known = np.isfinite(truth)
    if states.shape != truth.shape or truth.ndim < 3 or not known.any():
        raise InputError(
            f"Received maps of shape {states.shape} and a truth of shape {truth.shape}, "
            f"{known.sum()} values of it known; expected the same shape, [..., time, y, x], and "
            "some that are."
        )
    squared = np.square(states - truth), np.square(truth)
    rmse, rms = (float(np.sqrt(each[known].mean())) for each in squared)
    smallest: tuple[float | None, float | None] = None, None
    if known.all():
        smallest = resolved(*spectral_score(states, truth, time_step, spacing))
    sigma = float(np.nanstd(daily_scores(states, truth).mu))
    return FieldScores(1 - rmse / rms, sigma, *smallest, rmse)


class DailyScores(NamedTuple):
    """Scores of each day.

    Attributes:
        mu, rmse: see `FieldScores`, [time]; NaN where nothing of the truth is known.
    """

    mu: np.ndarray
    rmse: np.ndarray


def daily_scores(states: np.ndarray, truth: np.ndarray) -> DailyScores:
    """Scores of maps by day.

    Args:
        states, truth: see `field_scores`.
    """
    squared = np.square(states - truth), np.square(truth)
    rmse, rms = (np.sqrt(mean_where_known(each, truth, kept=-3)) for each in squared)
    with np.errstate(invalid="ignore", divide="ignore"):
        return DailyScores(1 - rmse / rms, rmse)


def spectral_score(
    states: np.ndarray, truth: np.ndarray, time_step: float, spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each scale in time and x, 1 - PSD(states - truth) / PSD(truth).

    Row by row of y the mean is taken off and a Hann window is laid over time and x; the power is
    the mean over the rows.

    Args:
        states, truth, time_step, spacing: see `field_scores`.

    Returns:
        The score at positive frequencies and wavenumbers, [frequency, wavenumber], not finite where
        the truth has no power; the periods, and the wavelengths, which descend.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        score = 1 - _power(states - truth) / _power(truth)
    periods = 1 / fft.rfftfreq(truth.shape[-3], time_step)[1:]
    wavelengths = 1 / fft.rfftfreq(truth.shape[-1], spacing)[1:]
    return score[: len(periods)], periods, wavelengths


def resolved(
    score: np.ndarray, periods: np.ndarray, wavelengths: np.ndarray
) -> tuple[float | None, float | None]:
    """The smallest wavelength and the smallest period on the score's contour 0.5.

    It is the contour around the largest scales. What lies above 0.5 apart from them, as where the
    truth has next to no power, is not resolved. Between two scales the score is linear in
    wavelength and in period.

    Args:
        score, periods, wavelengths: of `spectral_score`.

    Returns:
        Where all is resolved, the smallest there are; where the largest scales are not, None.
    """
    regions, _ = ndimage.label(score > RESOLVED)
    if not regions[0, 0]:
        return None, None
    region = regions == regions[0, 0]
    if region.all():
        return float(wavelengths[-1]), float(periods[-1])
    score = np.where(region, score, np.minimum(score, RESOLVED))
    along_x = _crossings(score, wavelengths)
    along_t = _crossings(score.T, periods)
    # A crossing on a line of one axis lies at one of the scales of the other.
    at_periods = periods[np.flatnonzero(np.isfinite(along_x).any(axis=1))]
    at_wavelengths = wavelengths[np.flatnonzero(np.isfinite(along_t).any(axis=1))]
    smallest_x = np.concatenate([along_x[np.isfinite(along_x)], at_wavelengths])
    smallest_t = np.concatenate([along_t[np.isfinite(along_t)], at_periods])
    return float(smallest_x.min()), float(smallest_t.min())


def _crossings(score, scales):
    """Where each row of the score crosses the contour between two scales; NaN where it does not."""
    before, after = score[:, :-1] - RESOLVED, score[:, 1:] - RESOLVED
    with np.errstate(invalid="ignore", divide="ignore"):
        part = before / (before - after)
    crossed = (before > 0) != (after > 0)
    return np.where(crossed, scales[:-1] + part * (scales[1:] - scales[:-1]), np.nan)


def _power(fields):
    """The mean power over rows of y, and whatever stands before the time."""
    fields = fields - fields.mean((-3, -1), keepdims=True)
    times, points = fields.shape[-3], fields.shape[-1]
    window = np.multiply.outer(signal.windows.hann(times), signal.windows.hann(points))
    rows = np.moveaxis(fields, -2, -3) * window
    power = np.square(np.abs(fft.rfft2(rows)))
    power = power.mean(tuple(range(power.ndim - 2)))
    # Waves of both directions count: that of a frequency and its negative are one.
    half = times // 2
    both = power[1 : half + 1] + power[: -half - 1 : -1]
    return both[:, 1:]
