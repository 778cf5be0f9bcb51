"""Means over a series of numbers that are alike the nearer they are in time."""

from typing import NamedTuple

import numpy as np


class TimeMean(NamedTuple):
    """A mean over time, and its standard error.

    Attributes:
        mean: of the series.
        error: standard error of the mean, with the correlation of the series.
    """

    mean: float
    error: float


def time_mean(values: np.ndarray) -> TimeMean:
    """The mean of a stationary series, and how far it may be off.

    Correlations of neighbours in time are added up in pairs as long as these are positive (Geyer
    1992, doi:10.1214/ss/1177011137).

    Args:
        values: [time].

    Usage:

        from tf4dvar.evaluation.time_means import time_mean

        mean, error = time_mean(np.sin(np.arange(1000.0)))
        assert abs(mean) < error
    """
    number = len(values)
    departures = np.asarray(values, float) - np.mean(values)
    waves = np.fft.rfft(departures, 2 * number)
    covariances = np.fft.irfft(np.square(np.abs(waves)))[:number] / number
    pairs = covariances[: number // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    total = 2 * pairs[: ends[0] if ends.size else None].sum() - covariances[0]
    return TimeMean(float(np.mean(values)), float(np.sqrt(max(total, 0.0) / number)))
