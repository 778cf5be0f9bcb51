"""What every classical method returns, and how it goes through the windows."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tf4dvar.classical.problem import Problem

logger = logging.getLogger(__name__)

# Entries of the largest array of a chunk of windows: 64 MiB.
CHUNK_ENTRIES = 2**23

Progress = Callable[[int, int], None]
"""Called with the windows (or steps) done and their number in all."""


class Analysis(NamedTuple):
    """Reconstructed states and how they were reached.

    Attributes:
        states: [window, time, component], physical units.
        costs: of each window, [window]; the method says which cost.
        iterations: of each window, [window].
        converged: whether each window's iteration ended by itself, [window].
        spread: standard deviation of the error as the method estimates it, shape and units of
            `states`; None where it does not.
        effective_sample_size: Kish's, [window]; None where the method does not sample.
        samples: of the posterior, [window, sample, time, component]; None where it draws none.
        covariance: of the error of the first state, [window, component, component]; None where
            the method does not know it.
        seconds_per_window: wall clock, of all windows together over their number.
    """

    states: np.ndarray
    costs: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    spread: np.ndarray | None = None
    effective_sample_size: np.ndarray | None = None
    samples: np.ndarray | None = None
    covariance: np.ndarray | None = None
    seconds_per_window: float = 0.0


def windows_at_once(entries: int) -> int:
    """Number of windows to analyse at once if the largest array of each has so many entries."""
    return max(1, CHUNK_ENTRIES // entries)


def in_chunks(
    analyse: Callable[[Problem], Analysis], problem: Problem, chunk: int, progress: Progress
) -> Analysis:
    """Analyse some windows after others, so that memory does not grow with their number.

    Args:
        analyse: gives the analysis of some windows.
        problem: all windows.
        chunk: number of windows at once, see `windows_at_once`.
        progress: called after every chunk.
    """
    count = len(problem.observations)
    started = time.perf_counter()
    parts = []
    for start in range(0, count, chunk):
        parts.append(analyse(problem.part(slice(start, start + chunk))))
        progress(min(start + chunk, count), count)
    *arrays, _ = zip(*parts, strict=True)
    joined = [None if each[0] is None else np.concatenate(each) for each in arrays]
    return Analysis._make([*joined, (time.perf_counter() - started) / count])


def report_convergence(
    converged: np.ndarray,
    failure: str = "did not converge",
    consequence: str = "their states are the last ones reached",
) -> None:
    """Log which windows did not converge.

    Args:
        converged: [window].
        failure: what they did not.
        consequence: what follows from it.
    """
    failed = np.flatnonzero(~converged)
    if len(failed):
        logger.warning(
            "%d of %d windows %s, the first of them number %d; %s.",
            len(failed),
            len(converged),
            failure,
            failed[0],
            consequence,
        )
