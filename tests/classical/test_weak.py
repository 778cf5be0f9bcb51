import numpy as np
import pytest

from tests.finite_differences import directional_derivative
from tf4dvar.classical import (
    Problem,
    StrongQuasistatic,
    WeakAnnealed,
    WeakGaussNewton,
    WeakLBFGS,
    one_step_model,
)
from tf4dvar.classical.weak_annealed import annealing
from tf4dvar.classical.weak_cost import WeakConstraint, averaged_terms, covariance_terms
from tf4dvar.errors import InputError
from tf4dvar.layers import GENN, VariationalCost

R = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 4.0]])[None, None]
Q = np.diag([0.1, 0.2, 0.3]) + 0.05


def test_averaged_terms_are_the_variational_cost(few, few_truths, flow, rng):
    states = few_truths + rng.normal(size=few.shape)
    observed = ~np.isnan(few)
    cost = VariationalCost(flow, 0.01, 1.0, learn_weights=False, dtype="float64")
    expected = cost(states, np.where(observed, few, 0.0), observed.astype(float))
    problem = Problem(few, flow, 2.0)
    weak = WeakConstraint(problem, averaged_terms(problem, 0.01, 1.0))
    found, _ = weak.evaluate(states, np.arange(len(few)))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.fixture
def problem(few, flow, background, rng):
    observations = np.where(rng.random(few.shape) < 0.3, rng.normal(size=few.shape), np.nan)
    problem = Problem(observations[:2, :12], flow, R, background)
    return WeakConstraint(problem, covariance_terms(problem, Q))


def test_gradient_agrees_with_finite_differences(problem, rng):
    windows = np.arange(2)
    states = rng.normal(3.0, 6.0, size=problem.values.shape)
    gradient, _ = problem.quadratic(states, windows)
    for _ in range(3):
        direction = rng.normal(size=states.shape)
        expected = directional_derivative(
            lambda x: problem.evaluate(x, windows)[0], states, direction, step=1e-4
        )
        found = 2 * np.sum(gradient * direction, axis=(1, 2))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_increment_solves_the_dense_system(problem, rng):
    windows, states = np.arange(2), rng.normal(3.0, 6.0, size=problem.values.shape)
    gradient, (diagonal, lower) = problem.quadratic(states, windows)
    steps, n = states.shape[1:]
    dense = np.zeros((2, steps, n, steps, n))
    for t in range(steps):
        dense[:, t, :, t] = diagonal[:, t]
        if t + 1 < steps:
            dense[:, t + 1, :, t] = lower[:, t]
            dense[:, t, :, t + 1] = lower[:, t].swapaxes(1, 2)
    dense = dense.reshape(2, steps * n, steps * n)
    damping = np.array([0.0, 0.3])
    damped = dense + damping[:, None, None] * np.eye(steps * n) * dense
    expected = np.linalg.solve(damped, gradient.reshape(2, -1, 1)).reshape(gradient.shape)
    found = problem.increment((diagonal, lower), gradient, damping)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.fixture
def tight(monkeypatch):
    """Minimisations that go on to the last digits."""
    monkeypatch.setattr("tf4dvar.classical.weak_gauss_newton.TOLERANCE", 1e-12)
    monkeypatch.setattr("tf4dvar.classical.weak_lbfgs.TOLERANCE", 1e-14)


@pytest.mark.long
@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("model_error_variance", [None, Q], ids=["averaged", "covariances"])
def test_lbfgs_and_gauss_newton_reach_the_same_minimum(
    few, few_truths, flow, background, model_error_variance
):
    # Near the minimum, since from afar they may fall into different ones.
    problem = Problem(few[:2], flow, R, background, first_guess=few_truths[:2])
    newton = WeakGaussNewton(model_error_variance=model_error_variance).analyse(problem)
    descent = WeakLBFGS(model_error_variance=model_error_variance).analyse(problem)
    assert newton.converged.all()
    np.testing.assert_allclose(descent.costs, newton.costs, rtol=1e-6)
    np.testing.assert_allclose(descent.states, newton.states, atol=2e-2)


@pytest.mark.long
def test_vanishing_model_error_gives_the_strong_constraint(few, flow, background, monkeypatch):
    monkeypatch.setattr("tf4dvar.classical.weak_gauss_newton.TOLERANCE", 1e-8)
    problem = Problem(few, flow, 2.0, background)
    weak = WeakAnnealed(10.0, 1e-8).analyse(problem)
    strong = StrongQuasistatic().analyse(problem)
    same = np.abs(weak.costs - strong.costs) < 1e-3 * strong.costs
    # Annealing and growing are two ways: now and then they end in different minima.
    assert same.sum() >= 5
    np.testing.assert_allclose(weak.states[same], strong.states[same], atol=0.2)
    refined = WeakAnnealed(1e-8, 1e-8).analyse(problem.with_first_guess(strong.states))
    single = problem.with_first_guess(strong.states.astype("float32"))
    np.testing.assert_allclose(
        WeakAnnealed(1e-8, 1e-8).analyse(single).states, refined.states, atol=1e-4
    )
    np.testing.assert_allclose(refined.costs, strong.costs, rtol=1e-3)


def test_annealing_falls_tenfold():
    np.testing.assert_allclose(annealing(10.0, 1e-6), 10.0 ** np.arange(1, -7, -1))
    with pytest.raises(InputError, match="0 < last <= first"):
        annealing(1e-6, 10.0)


def test_lbfgs_takes_a_learned_prior(few, monkeypatch):
    monkeypatch.setattr("tf4dvar.classical.weak_lbfgs.TOLERANCE", 1e-6)
    genn = GENN(dtype="float64")
    observations = few[:2] / 8.0
    start = np.where(np.isnan(observations), 0.0, observations)
    problem = Problem(observations, genn, 2.0)
    analysis = WeakLBFGS().analyse(problem)
    observed = ~np.isnan(observations)
    cost = VariationalCost(genn, 0.01, 1.0, learn_weights=False, dtype="float64")
    np.testing.assert_allclose(
        cost(analysis.states, start, observed.astype(float)), analysis.costs, rtol=1e-8
    )
    assert np.all(analysis.costs < cost(start, start, observed.astype(float)).numpy())
    with pytest.raises(InputError, match="GENN"):
        WeakGaussNewton().analyse(problem)


def test_any_number_of_components(circle_flow, rng):
    truth = one_step_model(circle_flow, 8).trajectory(8.0 + rng.normal(size=(2, 8)), 200)[:, 150:]
    seen = rng.random(truth.shape) < 0.4
    observations = np.where(seen, truth + 0.1 * rng.normal(size=truth.shape), np.nan)
    analysis = WeakAnnealed(1.0, 1e-4).analyse(Problem(observations, circle_flow, 0.01))
    assert analysis.converged.all()
    assert np.square(analysis.states - truth).mean() < 0.05
