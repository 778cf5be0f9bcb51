from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from tf4dvar.classical import setting
from tf4dvar.classical.fields import FIELD_METHODS, FieldAnalysis, FieldMethod, FieldProblem
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError

SHAPE = (2, 5, 6, 8)


def problem(**changes):
    observations = np.full(SHAPE, np.nan)
    observations[:, ::2, ::3, 1:] = 1.0
    given = {
        "observations": observations,
        "noise_variance": 0.01,
        "times": np.arange(5.0),
        "grid": Grid(np.arange(6.0), np.arange(8.0)),
    }
    return FieldProblem(**(given | changes))


LAND = np.zeros(SHAPE[2:], bool)
LAND[:, 1:] = True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observations": np.full(SHAPE, np.nan)}, "no observation in the members 0, 1"),
        ({"grid": Grid(np.arange(6.0), np.arange(8.0), land=LAND)}, "no observation off land"),
        ({"observations": np.ones((2, 1, 6, 8)), "times": np.zeros(1)}, "a single time"),
        ({"observations": np.ones((2, 4, 6, 8))}, "Received maps of shape"),
        ({"observations": np.full(SHAPE, np.inf)}, "infinite"),
        ({"times": np.array([0.0, 1, 1, 2, 3])}, "do not ascend"),
        ({"times": np.array([0.0, 1, np.nan, 2, 3])}, "do not ascend"),
        ({"noise_variance": 0.0}, "zero, negative"),
        ({"noise_variance": np.nan}, "no number"),
        ({"noise_variance": np.ones(3)}, "expected a number, or as the observations"),
        ({"states": np.full((4, 5, 6, 8), np.nan)}, "expected finite fields"),
        ({"first_guess": np.zeros((1, 5, 6, 8))}, "a first guess of shape"),
        (
            {"observations": np.broadcast_to(1.0, (2, 5, 10**6, 10**6)), "grid": None},
            "GB are needed",
        ),
    ],
)
def test_what_is_no_problem_is_refused(changes, message):
    if "grid" in changes and changes["grid"] is None:
        changes = changes | {"grid": Grid(np.arange(1e6), np.arange(1e6))}
    with pytest.raises(InputError, match=message):
        problem(**changes)


@pytest.fixture
def method():
    @dataclass(frozen=True)
    class Mean(FieldMethod):
        """One value everywhere."""

        name = "mean of a test"
        kind: Literal["mean", "infinite"] = setting("mean", "Which.")

        def solve(self, problem, progress):
            value = np.nanmean(problem.observations) if self.kind == "mean" else np.inf
            shape = problem.observations.shape
            return FieldAnalysis(np.full(shape, value), np.ones(shape))

    yield Mean
    del FIELD_METHODS[Mean.name]


def test_an_analysis_has_no_state_on_land(method):
    land = LAND.copy()
    land[:, :3] = False
    given = problem(grid=Grid(np.arange(6.0), np.arange(8.0), land=land))
    analysis = method().analyse(given)
    assert np.isnan(analysis.states[..., land]).all()
    assert np.isnan(analysis.spread[..., land]).all()
    assert (analysis.states[..., ~land] == 1).all()
    assert analysis.seconds_per_map > 0


def test_what_is_no_setting_or_no_state_is_refused(method):
    with pytest.raises(InputError, match="expected one of mean, infinite"):
        method("median")
    with pytest.raises(InputError, match="diverges"):
        method("infinite").analyse(problem())
    with pytest.raises(InputError, match="takes no first guess"):
        method().analyse(problem(first_guess=np.zeros(SHAPE)))
