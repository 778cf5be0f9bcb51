import numpy as np

from tf4dvar.classical import FixedStepDescent, Problem, first_guess
from tf4dvar.evaluation.metrics import fourdvar_score
from tf4dvar.systems import Lorenz63


def test_lowers_the_cost_that_the_score_measures(windows, flow, monkeypatch):
    observations = windows["observations"].values[:5]
    monkeypatch.setattr("tf4dvar.classical.descent.CHUNK", 100)
    scores = []
    for analysis in FixedStepDescent(200).iterates(Problem(observations, flow, 2.0)):
        states, costs = analysis.states, analysis.costs
        np.testing.assert_allclose(
            costs,
            fourdvar_score(states, observations, Lorenz63().step),
            rtol=1e-10,
        )
        scores.append(costs)
    assert len(scores) == 3
    assert np.all(np.diff(scores, axis=0) < 0)


def test_pieces_of_the_descent_are_the_whole(windows, flow, monkeypatch):
    problem = Problem(windows["observations"].values[:2], flow, 2.0)
    whole = FixedStepDescent(30).analyse(problem)
    monkeypatch.setattr("tf4dvar.classical.descent.CHUNK", 7)
    reports = []
    pieces = FixedStepDescent(30).analyse(problem, lambda *done: reports.append(done))
    np.testing.assert_allclose(pieces.states, whole.states, rtol=1e-12)
    assert reports == [(7, 30), (14, 30), (21, 30), (28, 30), (30, 30)]


def test_first_guess_interpolates_what_was_observed(windows):
    observations = windows["observations"].values[:3]
    guess = first_guess(Problem(observations, None, 2.0))
    observed = ~np.isnan(observations)
    np.testing.assert_array_equal(guess[observed], observations[observed])
    np.testing.assert_array_equal(guess[..., 1:], 0)


def test_line_search_never_raises_the_cost_and_beats_fixed_steps(windows, flow, monkeypatch):
    problem = Problem(windows["observations"].values[:3], flow, 2.0)
    monkeypatch.setattr("tf4dvar.classical.descent.CHUNK", 10)
    costs = [each.costs for each in FixedStepDescent(50, line_search=True).iterates(problem)]
    assert len(costs) == 6
    assert np.all(np.diff(costs, axis=0) <= 0)
    assert np.all(costs[-1] < FixedStepDescent(50).analyse(problem).costs)
