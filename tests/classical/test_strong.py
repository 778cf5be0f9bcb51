import numpy as np
import pytest

from tests.classical.kalman import kalman_smoother
from tests.finite_differences import directional_derivative
from tf4dvar.classical import (
    Gaussian,
    Problem,
    Strong,
    StrongMultistart,
    StrongQuasistatic,
    one_step_model,
)
from tf4dvar.classical.strong_cost import StrongConstraint

R = 2.0


@pytest.mark.parametrize("steps", [200, 41])
def test_gradient_agrees_with_finite_differences(few, flow, background, few_truths, rng, steps):
    problem = StrongConstraint(Problem(few, flow, R, background))
    problem.show(steps)
    windows = np.arange(len(few))
    control = few_truths[:, 0] + 0.1 * rng.normal(size=(len(few), 3))
    _, states = problem.evaluate(control, windows)
    gradient, _ = problem.quadratic(states, windows)
    direction = rng.normal(size=control.shape)
    expected = directional_derivative(
        lambda x: problem.evaluate(x, windows)[0], control, direction, step=1e-7
    )
    np.testing.assert_allclose(2 * np.sum(gradient * direction, axis=1), expected, rtol=1e-5)


def test_is_the_kalman_smoother_of_a_linear_system(linear_flow, rng):
    model = one_step_model(linear_flow, 3)
    prior = Gaussian(np.array([1.0, -1.0, 0.5]), np.diag([2.0, 1.0, 3.0]))
    truth = model.trajectory(rng.multivariate_normal(*prior, size=4), 30)
    observations = np.where(
        rng.random(truth.shape) < 0.2, truth + rng.normal(size=truth.shape), np.nan
    )
    matrix = model.jacobians(np.zeros((1, 3)))[0]
    analysis = Strong().analyse(Problem(observations, linear_flow, 1.0, prior))
    assert analysis.converged.all()
    for states, cost, window in zip(analysis.states, analysis.costs, observations, strict=True):
        mean, _, expected = kalman_smoother(window, matrix, 1.0, prior)
        np.testing.assert_allclose(states, mean, atol=1e-6)
        np.testing.assert_allclose(cost, expected, rtol=1e-9)


@pytest.mark.long
def test_quasistatic_finds_the_truth_where_one_start_does_not(few, few_truths, flow, background):
    problem = Problem(few, flow, R, background)
    single = Strong().analyse(problem)
    several = StrongMultistart(starts=4).analyse(problem)
    grown = StrongQuasistatic().analyse(problem)
    assert np.all(several.costs <= single.costs)
    assert np.all(grown.costs <= several.costs + 1e-2)
    assert np.all(np.square(grown.states - few_truths).mean(axis=(1, 2)) < 5.0)
    assert np.square(single.states - few_truths).mean() > 20.0


def test_no_window_depends_on_the_others(few, flow, background):
    problem = Problem(few, flow, R, background)
    together = StrongQuasistatic().analyse(problem)
    alone = StrongQuasistatic().analyse(problem.part(slice(2, 3)))
    np.testing.assert_allclose(alone.states[0], together.states[2], atol=1e-6)


def test_a_window_without_observations_is_the_background_forecast(flow, background):
    empty = np.full((2, 50, 3), np.nan)
    analysis = StrongQuasistatic().analyse(Problem(empty, flow, R, background))
    expected = one_step_model(flow, 3).trajectory(background.mean[None], 50)
    np.testing.assert_allclose(analysis.states[0], expected[0])
    assert analysis.converged.all()


def test_what_does_not_converge_is_reported(few, flow, background, monkeypatch, caplog):
    monkeypatch.setattr("tf4dvar.classical.strong.ITERATIONS", 1)
    analysis = Strong().analyse(Problem(few, flow, R, background))
    assert not analysis.converged.any()
    assert "6 of 6 windows did not converge" in caplog.text


@pytest.mark.long
def test_chunks_are_the_whole(few, flow, background, monkeypatch):
    problem = Problem(few, flow, R, background)
    whole = StrongQuasistatic().analyse(problem)
    monkeypatch.setattr("tf4dvar.classical.analysis.CHUNK_ENTRIES", 4 * few[0].size * 3)
    reports = []
    pieces = StrongQuasistatic().analyse(problem, lambda *done: reports.append(done))
    np.testing.assert_allclose(pieces.states, whole.states, atol=1e-6)
    assert reports == [(4, 6), (6, 6)]
