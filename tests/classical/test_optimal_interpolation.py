import numpy as np
import pytest

from tf4dvar.classical import Problem, optimal_interpolation
from tf4dvar.errors import InputError


def test_is_the_conditional_mean_of_a_gaussian(rng):
    factor = rng.normal(size=(12, 12))
    training = (rng.normal(size=(500, 12)) @ factor).reshape(-1, 4, 3)
    noise = np.array([[0.5, 0.1, 0.0], [0.1, 0.5, 0.0], [0.0, 0.0, 1.0]])
    observations = np.where(rng.random((5, 4, 3)) < 0.5, rng.normal(size=(5, 4, 3)), np.nan)
    observations[1] = np.nan
    problem = Problem(observations, None, noise[None, None])
    analysis = optimal_interpolation(problem, training)
    mean = np.tile(training.mean(axis=(0, 1)), 4)
    deviations = training.reshape(-1, 12) - mean
    prior, errors = deviations.T @ deviations / len(training), np.kron(np.eye(4), noise)
    for window, states, cost in zip(observations, analysis.states, analysis.costs, strict=True):
        seen = ~np.isnan(window.ravel())
        total = (prior + errors)[np.ix_(seen, seen)]
        innovation = window.ravel()[seen] - mean[seen]
        weights = np.linalg.solve(total, innovation)
        np.testing.assert_allclose(states.ravel(), mean + prior[:, seen] @ weights, atol=1e-8)
        np.testing.assert_allclose(cost, innovation @ weights, atol=1e-8)


def test_training_states_must_fit(few):
    with pytest.raises(InputError, match="same length"):
        optimal_interpolation(Problem(few, None, 2.0), np.zeros((10, 100, 3)))
