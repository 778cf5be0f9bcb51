"""Errors of forecasts by how far ahead they are."""

from typing import NamedTuple

import numpy as np


class ForecastScores(NamedTuple):
    """Root mean square errors over windows and components, [step]; units of the state.

    Attributes:
        forecast: of the forecast.
        persistence: of the last state, which stays.
        climatology: of one state for all times.
        spread: root mean square of the stated deviation; None where none is stated.
    """

    forecast: np.ndarray
    persistence: np.ndarray
    climatology: np.ndarray
    spread: np.ndarray | None = None


def forecast_scores(
    forecast: np.ndarray,
    truth: np.ndarray,
    last: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray | None = None,
) -> ForecastScores:
    """Of forecasts, beside what needs no dynamics.

    Args:
        forecast, truth: [window, step, component].
        last: the state before the first step, [window, component].
        mean: of the climate, [component].
        std: stated deviation, shaped as the forecast.

    Usage:

        from tf4dvar.evaluation.forecast_scores import forecast_scores

        truth = np.zeros((1, 2, 1))
        scores = forecast_scores(truth + 1, truth, np.full((1, 1), 2.0), np.array([3.0]))
        assert scores.forecast.tolist() == [1, 1]
        assert scores.persistence.tolist() == [2, 2]
    """

    def root(values):
        return np.sqrt(np.square(values).mean(axis=(0, 2)))

    return ForecastScores(
        root(forecast - truth),
        root(last[:, np.newaxis] - truth),
        root(mean - truth),
        None if std is None else root(std),
    )
