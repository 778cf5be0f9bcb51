import numpy as np
import pytest

from tests.classical.kalman import kalman_smoother
from tf4dvar.classical import EnKS, Gaussian, Problem, one_step_model
from tf4dvar.errors import InputError

PRIOR = Gaussian(np.array([1.0, -1.0, 0.5]), np.array([[2, 0.3, 0], [0.3, 1, 0], [0, 0, 3.0]]))


@pytest.fixture
def linear_windows(linear_flow, rng):
    """Observations of a linear system, a different number at each time, and its matrix."""
    model = one_step_model(linear_flow, 3)
    truth = model.trajectory(rng.multivariate_normal(*PRIOR, size=3), 20)
    noisy = truth + np.sqrt(0.5) * rng.normal(size=truth.shape)
    return np.where(rng.random(truth.shape) < 0.3, noisy, np.nan), model.jacobians(np.zeros(3))


@pytest.mark.parametrize("square_root", [False, True])
def test_is_the_kalman_smoother_of_a_linear_system(linear_windows, linear_flow, square_root):
    observations, matrix = linear_windows
    method = EnKS(members=20_000, inflation=1.0, square_root=square_root)
    analysis = method.analyse(Problem(observations, linear_flow, 0.5, PRIOR))
    for window, observed in enumerate(observations):
        mean, variance, cost = kalman_smoother(observed, matrix, 0.5, PRIOR)
        np.testing.assert_allclose(analysis.states[window], mean, atol=0.05)
        np.testing.assert_allclose(analysis.spread[window] ** 2, variance, rtol=0.06, atol=1e-3)
        np.testing.assert_allclose(analysis.costs[window], cost, rtol=0.03)
    assert analysis.converged.all()
    np.testing.assert_array_equal(analysis.iterations, (~np.isnan(observations)).any(2).sum(1))


def test_the_seed_repeats_the_ensemble(linear_windows, linear_flow):
    observations, _ = linear_windows
    first, again, other = (
        EnKS(members=20, seed=seed).analyse(Problem(observations, linear_flow, 0.5, PRIOR))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.states, again.states)
    assert not np.allclose(first.states, other.states)


@pytest.mark.long
def test_localisation_keeps_a_small_ensemble_from_diverging(circle_flow, rng):
    components = 24
    model = one_step_model(circle_flow, components)
    truth = model.trajectory(8.0 + rng.normal(size=(2, components)), 300)[:, 220:]
    seen = rng.random(truth.shape) < 0.3
    observations = np.where(seen, truth + rng.normal(size=truth.shape), np.nan)
    prior = Gaussian(np.full(components, 2.3), 13.0 * np.eye(components))
    problem = Problem(observations, circle_flow, 1.0, prior)
    errors = [
        np.square(EnKS(25, localisation=distance).analyse(problem).states - truth).mean()
        for distance in (None, 8.0)
    ]
    assert errors[1] < 0.5 * errors[0], errors


def test_settings_are_checked():
    for wrong in ({"members": 1}, {"inflation": 0.0}, {"localisation": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            EnKS(**wrong)
