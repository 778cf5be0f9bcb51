import numpy as np

from tf4dvar.classical import first_guess, fixed_step_descent, line_search_descent
from tf4dvar.metrics import fourdvar_score
from tf4dvar.systems import Lorenz63, rk4_step


def test_lowers_the_cost_that_the_score_measures(windows, flow):
    observations = windows["observations"].values[:5]
    scores = []
    for steps in (0, 20, 200):
        analysis = fixed_step_descent(observations, flow, steps)
        states, costs = analysis.states, analysis.costs
        np.testing.assert_allclose(
            costs,
            fourdvar_score(states, observations, lambda x: rk4_step(Lorenz63(), x)),
            rtol=1e-10,
        )
        scores.append(costs)
    assert np.all(np.diff(scores, axis=0) < 0)


def test_pieces_of_the_descent_are_the_whole(windows, flow, monkeypatch):
    observations = windows["observations"].values[:2]
    whole = fixed_step_descent(observations, flow, 30)
    monkeypatch.setattr("tf4dvar.classical.descent.CHUNK", 7)
    reports = []
    pieces = fixed_step_descent(
        observations, flow, 30, progress=lambda done, steps: reports.append((done, steps))
    )
    np.testing.assert_allclose(pieces.states, whole.states, rtol=1e-12)
    assert reports == [(7, 30), (14, 30), (21, 30), (28, 30), (30, 30)]


def test_first_guess_interpolates_what_was_observed(windows):
    observations = windows["observations"].values[:3]
    guess = first_guess(observations)
    observed = ~np.isnan(observations)
    np.testing.assert_array_equal(guess[observed], observations[observed])
    np.testing.assert_array_equal(guess[..., 1:], 0)


def test_line_search_never_raises_the_cost_and_beats_fixed_steps(windows, flow):
    observations = windows["observations"].values[:3]
    costs = [line_search_descent(observations, flow, steps).costs for steps in (0, 1, 5, 50)]
    assert np.all(np.diff(costs, axis=0) <= 0)
    assert np.all(costs[-1] < fixed_step_descent(observations, flow, 50).costs)
