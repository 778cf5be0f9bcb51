"""Methods that know the observations alone."""

import numpy as np
import pytest

from tests.classical.kalman import kalman_smoother
from tf4dvar.classical import (
    EnKS,
    Gaussian,
    OptimalInterpolation,
    Problem,
    one_step_model,
    stationary,
)
from tf4dvar.errors import InputError

STEPS, NOISE = 60, 0.2
MEAN = np.array([3.0, -1.0])
CORRELATION = np.array([[1.0, 0.5], [0.5, 2.0]])


@pytest.fixture(scope="module")
def true_covariance():
    """Of all times and components of a process with the covariance exp(-(lag / 8)^2) C."""
    lags = np.subtract.outer(np.arange(STEPS), np.arange(STEPS))
    return np.kron(np.exp(-((lags / 8.0) ** 2)), CORRELATION)


@pytest.fixture(scope="module")
def windows(true_covariance):
    rng = np.random.default_rng(3)
    truth = rng.multivariate_normal(np.tile(MEAN, STEPS), true_covariance, 200, method="eigh")
    truth = truth.reshape(200, STEPS, 2)
    noisy = truth + np.sqrt(NOISE) * rng.normal(size=truth.shape)
    return truth, np.where(rng.random(truth.shape) < 0.3, noisy, np.nan)


def test_mean_and_covariances_are_those_of_the_process(windows):
    _, observations = windows
    known = stationary(Problem(observations, None, NOISE))
    np.testing.assert_allclose(known.mean, MEAN, atol=0.1)
    np.testing.assert_allclose(known.background.covariance, CORRELATION, atol=0.2)
    for lag in (1, 4, 8, 16):
        expected = np.exp(-((lag / 8) ** 2)) * CORRELATION
        np.testing.assert_allclose(known.covariances[lag], expected, atol=0.2)
    drawn = known.draw(4000, np.random.default_rng(0)) - known.mean
    for lag in (0, 5, 20):
        sampled = np.einsum("wti,wtj->ij", drawn[:, lag:], drawn[:, : STEPS - lag])
        sampled /= 4000 * (STEPS - lag)
        np.testing.assert_allclose(sampled, known.covariances[lag], atol=0.05)


def test_optimal_interpolation_is_almost_the_best_there_is(windows, true_covariance):
    truth, observations = windows
    states = OptimalInterpolation().analyse(Problem(observations, None, NOISE)).states
    error = np.square(states - truth).mean()
    best = []
    for values in observations.reshape(200, -1):
        seen = ~np.isnan(values)
        total = true_covariance[np.ix_(seen, seen)] + NOISE * np.eye(seen.sum())
        gain = np.linalg.solve(total, true_covariance[seen])
        best.append((true_covariance - true_covariance[:, seen] @ gain).diagonal().mean())
    assert error < 1.15 * np.mean(best), (error, np.mean(best))


def test_the_spread_of_persistence_is_its_error(windows):
    """Of a smooth process, whose changes are no random walk."""
    truth, observations = windows
    analysis = EnKS(300, inflation=1.0).analyse(Problem(observations, None, NOISE))
    ratio = np.sqrt(np.square(analysis.spread).mean() / np.square(analysis.states - truth).mean())
    assert 0.85 < ratio < 1.2


def test_between_lags_that_were_never_observed_the_covariance_is_linear(windows):
    truth, _ = windows
    observations = np.full(truth.shape, np.nan)
    observations[:, ::4] = truth[:, ::4]
    lag_2, lag_4 = stationary(Problem(observations, None, 0.0)).covariances[[2, 4]]
    mean = (CORRELATION + np.exp(-0.25) * CORRELATION) / 2
    np.testing.assert_allclose(lag_4, np.exp(-0.25) * CORRELATION, atol=0.2)
    np.testing.assert_allclose(lag_2, mean, atol=0.2)


def test_what_observations_do_not_tell_is_said(windows):
    _, observations = windows
    blind = observations.copy()
    blind[..., 1] = np.nan
    with pytest.raises(InputError, match="Component 1 is never observed"):
        OptimalInterpolation().analyse(Problem(blind, None, NOISE))
    seen = Problem(observations, None, NOISE, observation_operator=np.eye(2))
    with pytest.raises(InputError, match="an observation operator and no dynamics"):
        EnKS(members=5).analyse(seen)


def test_too_much_noise_and_a_constant_component_leave_finite_states(windows):
    _, observations = windows
    constant = observations.copy()
    constant[..., 1] = np.where(np.isnan(constant[..., 1]), np.nan, 5.0)
    for problem in (Problem(observations, None, 50.0), Problem(constant, None, NOISE)):
        for method in (OptimalInterpolation(training_windows=200), EnKS(members=20)):
            assert np.isfinite(method.analyse(problem).states).all()


def random_walk(rng, count, steps, error):
    """Observed every third step; the background is that of the first state."""
    background = Gaussian(np.zeros(2), np.eye(2))
    first = rng.normal(size=(count, 1, 2))
    changes = np.sqrt(error) * rng.normal(size=(count, steps - 1, 2))
    truth = np.concatenate([first, first + changes.cumsum(axis=1)], axis=1)
    observations = np.where(
        np.arange(steps)[:, None] % 3 == 0, truth + rng.normal(size=truth.shape), np.nan
    )
    return truth, observations, background


@pytest.mark.parametrize("square_root", [False, True])
def test_persistence_with_its_error_is_the_kalman_smoother_of_a_random_walk(rng, square_root):
    error = 0.3
    truth, observations, background = random_walk(rng, 40, 30, error)
    method = EnKS(20_000, inflation=1.0, square_root=square_root, model_error_variance=error)
    analysis = method.analyse(Problem(observations[:3], None, 1.0, background))
    for window, observed in enumerate(observations[:3]):
        mean, variance, cost = kalman_smoother(observed, np.eye(2), 1.0, background, error)
        np.testing.assert_allclose(analysis.states[window], mean, atol=0.07)
        np.testing.assert_allclose(analysis.spread[window] ** 2, variance, rtol=0.08)
        np.testing.assert_allclose(analysis.costs[window], cost, rtol=0.03)
    # The stated error is the true one.
    analysis = EnKS(300, inflation=1.0, model_error_variance=error).analyse(
        Problem(observations, None, 1.0, background)
    )
    ratio = np.square(analysis.spread).mean() / np.square(analysis.states - truth).mean()
    assert 0.85 < ratio < 1.15


def test_the_model_error_of_persistence_is_found_in_the_observations(rng):
    """Of a slow process the change in one step is small, and nearly that of a random walk."""
    _, observations, _ = random_walk(rng, 400, 40, 0.3)
    error = stationary(Problem(observations, None, 1.0)).persistence_error
    np.testing.assert_allclose(error.diagonal(), 0.3, atol=0.1)


def test_a_model_error_is_added_to_the_dynamics(linear_flow, rng):
    matrix = one_step_model(linear_flow, 3).jacobians(np.zeros(3))
    background = Gaussian(np.zeros(3), np.eye(3))
    covariance = np.array([[0.2, 0.1, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.05]])
    observations = np.where(rng.random((2, 15, 3)) < 0.4, rng.normal(size=(2, 15, 3)), np.nan)
    method = EnKS(20_000, inflation=1.0, model_error_variance=covariance)
    analysis = method.analyse(Problem(observations, linear_flow, 0.5, background))
    for window, observed in enumerate(observations):
        mean, variance, _ = kalman_smoother(observed, matrix, 0.5, background, covariance)
        np.testing.assert_allclose(analysis.states[window], mean, atol=0.05)
        np.testing.assert_allclose(analysis.spread[window] ** 2, variance, rtol=0.06, atol=2e-3)
