"""Methods that may fill the gaps of maps."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tf4dvar.classical import Progress
from tf4dvar.classical.fields import (
    Dineof,
    FieldAnalysis,
    FieldMethod,
    FieldProblem,
    OptimalInterpolation,
)
from tf4dvar.errors import InputError

KRIGING, DINEOF = "kriging", "dineof"


class Candidate(NamedTuple):
    """A method that may fill the gaps.

    Attributes:
        method: one that tells the error of its maps.
        states: examples for it to learn from, see `FieldProblem`; None for none.
        covariate: another quantity, whole off land, shaped as the maps; the method is given what a
            linear regression on it leaves (regression kriging: Hengl et al. 2007,
            doi:10.1016/j.cageo.2007.05.001). None for none.
    """

    method: FieldMethod
    states: np.ndarray | None = None
    covariate: np.ndarray | None = None

    def analyse(self, problem: FieldProblem, progress: Progress) -> FieldAnalysis:
        """Maps of a problem with their errors, and what was chosen for them.

        Args:
            problem, progress: as for `FieldMethod.analyse`.

        Raises:
            InputError: see there, or the method tells no error.
        """
        given, slope = replace(problem, states=self.states), 0.0
        if self.covariate is not None:
            slope = _slope(self.covariate[problem.observed], problem.observations[problem.observed])
            given = replace(given, observations=problem.observations - slope * self.covariate)
        analysis = self.method.analyse(given, progress)
        if analysis.spread is None:
            raise InputError(f"{self.method.name} tells no error of its maps; expected one.")
        if self.covariate is None:
            return analysis
        settings = {**(analysis.settings or {}), "slope": slope}
        states = analysis.states + slope * self.covariate
        return analysis._replace(states=states, settings=settings)


def candidates_for(
    states: np.ndarray | None = None,
    covariate: np.ndarray | None = None,
    mapping: Callable = map,
) -> dict[str, Candidate]:
    """Those of `tf4dvar fill`, by name: kriging, DINEOF, and what else is told makes of kriging.

    Args:
        states: whole fields, [sample, time, y, x], of whose covariance kriging may be.
        covariate: see `Candidate`.
        mapping: see `OptimalInterpolation`.
    """
    kriging = OptimalInterpolation(mapping=mapping)
    candidates = {KRIGING: Candidate(kriging), DINEOF: Candidate(Dineof())}
    if states is not None:
        of_states = OptimalInterpolation("states", mapping=mapping)
        candidates["kriging, covariance of the reference"] = Candidate(of_states, states)
    if covariate is not None:
        candidates["kriging, with the covariate"] = Candidate(kriging, covariate=covariate)
    return candidates


def _slope(covariate: np.ndarray, values: np.ndarray) -> float:
    """Of the regression of values on a covariate, by least squares."""
    departures = covariate - covariate.mean()
    square = np.square(departures).sum()
    return float(departures @ values / square) if square > 0 else 0.0
