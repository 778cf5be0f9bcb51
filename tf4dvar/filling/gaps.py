"""Gaps of maps, filled by the method or the blend that withheld pixels show to be best."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tf4dvar.classical.fields import FieldAnalysis, FieldProblem
from tf4dvar.errors import InputError
from tf4dvar.evaluation.calibration import calibration
from tf4dvar.evaluation.field_comparison import Bars
from tf4dvar.filling.blend import NETWORK, Blend, MapsAndErrors
from tf4dvar.filling.candidates import KRIGING, Candidate
from tf4dvar.filling.gap_windows import NothingHiddenError
from tf4dvar.filling.network import Network
from tf4dvar.filling.withheld_pixels import withheld_pixels

logger = logging.getLogger(__name__)

WRITTEN = "written"
Settings = Mapping[str, Any]


class Filling(NamedTuple):
    """Maps without gaps, and how good they are.

    Attributes:
        states: [member, time, y, x], physical units, NaN on land.
        spread: standard deviation of their error, of the same shape.
        weights: of the candidates that the maps are made of, of the sum 1.
        scores: at withheld pixels, of each candidate and, as `written`, of what the maps are made
            of: `rmse`, `bias`, `pixels` and those of `calibration`, of errors to the observations,
            whose own errors the stated ones have in them.
        settings: what each candidate chose without what was withheld, by its name.
    """

    states: np.ndarray
    spread: np.ndarray
    weights: dict[str, float]
    scores: dict[str, dict[str, float]]
    settings: dict[str, Settings]


def fill(
    problem: FieldProblem,
    candidates: Mapping[str, Candidate],
    progress: Bars,
    smooth: bool = False,
    seed: int = 0,
    network: Network | None = None,
) -> Filling:
    """Fill the gaps of maps.

    All candidates analyse the maps without some of their observations, see `withheld_pixels`. A
    part of these tells which of them is best, or the weights of a blend and by how much its stated
    error is to be scaled; the others score what was chosen. Then that is done with all
    observations, methods fitted anew: kriging alone is `oi`. A candidate that refuses the maps is
    left out, and logged.

    Args:
        problem: the maps; in place of its states each candidate has its own.
        candidates: by name.
        progress: see `Bars`.
        smooth: whether the maps are those of the method at observed pixels, too. Else observed
            values stay, with their own errors.
        seed: of what is withheld.
        network: beside the candidates, of which the one named "kriging" tells it the covariance.

    Raises:
        InputError: nothing can be withheld, or all candidates refuse the maps.

    Usage:

        from tf4dvar.classical.fields import Dineof, FieldProblem, OptimalInterpolation
        from tf4dvar.cli.progress import progress_bar
        from tf4dvar.data.grid import Grid
        from tf4dvar.filling import Candidate, fill

        rng = np.random.default_rng(0)
        t, y, x = np.mgrid[:12, :16, :16]
        maps = np.sin((x + t) / 4) + np.cos(y / 5) + 0.05 * rng.normal(size=t.shape)
        maps[(x + 3 * t) % 16 < 6] = np.nan
        grid = Grid(np.arange(16.0), np.arange(16.0))
        problem = FieldProblem(maps[None], 0.0025, np.arange(12.0), grid)
        kriging = OptimalInterpolation("matern", length=6.0, days=6.0, variance=1.0)
        candidates = {"kriging": Candidate(kriging), "dineof": Candidate(Dineof(eofs=5))}
        filling = fill(problem, candidates, progress_bar)
        assert np.isfinite(filling.states).all()
        assert filling.scores["written"]["rmse"] < 0.2
    """
    withheld = withheld_pixels(problem.observed, seed)
    given = replace(problem, observations=np.where(withheld.both, np.nan, problem.observations))
    analyses: dict[str, FieldAnalysis] = {}
    for name, candidate in candidates.items():
        with _left_out(name), progress(f"{name}, some withheld") as report:
            analyses[name] = candidate.analyse(given, report)
    if not analyses:
        raise InputError(f"Each of {', '.join(candidates)} refuses the maps; the log says why.")
    settings: dict[str, Settings] = {name: of.settings or {} for name, of in analyses.items()}
    if network is not None and KRIGING in analyses:
        with (
            _left_out(NETWORK, NothingHiddenError),
            progress(f"{NETWORK}, some withheld") as report,
        ):
            analyses[NETWORK] = network.analyse(given, report, analyses[KRIGING])
    maps = _with_errors(analyses)
    blend = Blend.chosen(problem, withheld.choice, maps)
    scored = maps | {WRITTEN: blend.of(maps)}
    scores = {name: _scores(problem, withheld.scoring, *each) for name, each in scored.items()}
    used = {*blend.weights} | ({KRIGING} if NETWORK in blend.weights else set())
    whole: dict[str, FieldAnalysis] = {}
    for name in used & {*candidates}:
        with progress(name) as report:
            whole[name] = candidates[name].analyse(problem, report)
    if network is not None and NETWORK in used:
        with progress(NETWORK) as report:
            whole[NETWORK] = network.analyse(problem, report, whole[KRIGING])
    states, spread = blend.of(_with_errors(whole))
    if not smooth:
        states = np.where(problem.observed, problem.observations, states)
        spread = np.where(problem.observed, np.sqrt(problem.variance), spread)
    return Filling(states, spread, blend.weights, scores, settings)


@contextmanager
def _left_out(name: str, refusal: type[InputError] = InputError) -> Iterator[None]:
    """Goes on without a candidate that refuses the maps, and logs why."""
    try:
        yield
    except refusal as error:
        logger.warning("%s is left out: %s", name, error)


def _with_errors(analyses: Mapping[str, FieldAnalysis]) -> dict[str, MapsAndErrors]:
    """Each of them told its error, as `Candidate.analyse` asks."""
    return {name: (of.states, of.spread) for name, of in analyses.items() if of.spread is not None}


def _scores(problem, withheld, states, spread):
    """See `Filling`."""
    errors = (states - problem.observations)[withheld]
    stated = np.sqrt(np.square(spread) + problem.variance)[withheld]
    return {
        "rmse": float(np.sqrt(np.square(errors).mean())),
        "bias": float(errors.mean()),
        "pixels": len(errors),
        **calibration(errors, stated),
    }
