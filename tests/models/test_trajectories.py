"""Windows brought onto trajectories, and samples that are trajectories."""

import keras
import numpy as np
import pytest

from tests.models.test_probabilistic import network
from tf4dvar.experiments import true_flow
from tf4dvar.layers import (
    ODE,
    AttentionFirstGuess,
    FixedStepCell,
    GaussianPosterior,
    GradientSolver,
    RK4Flow,
    TrajectorySolver,
)
from tf4dvar.models import FourDVarNet
from tf4dvar.models.trajectories import (
    as_large_as,
    in_double,
    lasting_errors,
    nearest_trajectories,
)
from tf4dvar.systems import Lorenz63, sample_windows

STEPS = 60


@keras.saving.register_keras_serializable(package="tests")
class Driven(ODE):
    """dx/dt = -x + f, of every component."""

    covariates = 1

    def call(self, state, covariates):
        return covariates - state


@pytest.fixture(scope="module")
def truth():
    return sample_windows(Lorenz63(), 5, STEPS, np.random.default_rng(3))


def residual(states):
    return np.abs(Lorenz63().step(states[..., :-1, :]) - states[..., 1:, :]).max()


def test_a_trajectory_is_nearest_to_itself(truth):
    found = nearest_trajectories(true_flow("l63"), truth, np.full(truth.shape, 0.1))
    np.testing.assert_allclose(found, truth, atol=1e-5)


def test_what_is_surest_counts_most(truth, rng):
    """As good as three numbers can be told by hundreds, those of large errors left out."""
    std = np.where(rng.random(truth.shape) < 0.5, 0.1, 10.0)
    found = nearest_trajectories(true_flow("l63"), truth + std * rng.normal(size=std.shape), std)
    assert residual(found) < 1e-6  # the flow has its parameters in single precision
    assert np.sqrt(np.square(found - truth).mean()) < 0.03


@pytest.mark.long
def test_no_other_trajectory_is_taken_for_the_nearest(caplog):
    """In windows of two units of time, where a search from the first state ends in others."""
    rng = np.random.default_rng(0)
    truth = sample_windows(Lorenz63(), 31, 200, rng)
    states = truth + rng.normal(size=truth.shape)
    states[7, 3, 1] = np.nan
    found = nearest_trajectories(true_flow("l63"), states, np.ones(truth.shape))
    assert np.isnan(found[7]).all()
    error = np.sqrt(np.square(found - truth).mean(axis=(1, 2)))
    assert np.nanmax(error) < 0.4
    assert "far from any trajectory" not in caplog.text
    shuffled = states[:3, rng.permutation(200)]
    nearest_trajectories(true_flow("l63"), shuffled, np.ones(shuffled.shape))
    assert "3 of 3 samples are far from any trajectory" in caplog.text


def test_a_forced_flow_goes_with_its_covariates(rng):
    flow = RK4Flow(Driven(), 0.1)
    forcing = np.cumsum(rng.normal(size=(3, STEPS, 1)), axis=1)
    states = [rng.normal(size=(3, 2))]
    model = in_double(flow, 2)
    for each in range(STEPS - 1):
        ends = np.concatenate([forcing[:, each], forcing[:, each + 1]], axis=-1)[:, np.newaxis]
        states.append(model.step(states[-1][:, np.newaxis], ends).numpy()[:, 0])
    truth = np.stack(states, axis=1)
    std = np.full(truth.shape, 0.1)
    found = nearest_trajectories(flow, truth + std * rng.normal(size=std.shape), std, forcing)
    departure = np.abs(found - truth)
    assert departure[:, -1].max() < 1e-2 < departure[:, 0].max()


def test_a_learned_flow_has_its_weights_of_now(truth):
    flow = true_flow("l63")
    states, std = truth[:1], np.full((1, *truth.shape[1:]), 0.1)
    nearest_trajectories(flow, states, std)
    weights = flow.get_weights()
    flow.set_weights([0.9 * weight for weight in weights])
    assert np.abs(nearest_trajectories(flow, states, std) - states).max() > 0.01
    flow.set_weights(weights)
    np.testing.assert_allclose(nearest_trajectories(flow, states, std), states, atol=1e-5)


@pytest.mark.long
def test_samples_of_windows_that_are_cut_last_and_are_as_large_as_stated(truth):
    solver = TrajectorySolver(network(outputs=2), segment=8)
    guess = AttentionFirstGuess(4, 8, 1, 2)
    model = FourDVarNet(true_flow("l63"), solver, guess, uncertainty=GaussianPosterior(network()))
    model.adapt(truth)
    mean, std = model.posterior(truth)
    samples = model.sample(truth, 200, seed=1)
    np.testing.assert_allclose(np.square((samples - mean) / std).mean(), 1.0, rtol=0.2)
    np.testing.assert_allclose(np.mean((samples - mean) / std), 0.0, atol=0.1)
    draws = mean + std * np.random.default_rng(1).normal(size=samples.shape)
    jumps = [np.diff(of - mean, axis=2).std() for of in (samples, draws)]
    assert jumps[0] < jumps[1] / 2
    # What a window has does not depend on its batch.
    np.testing.assert_allclose(model.sample(truth[:1], 200, 1), samples[:, :1], atol=2e-3)


def test_errors_that_last_are_of_the_size_of_the_noise_and_alike_at_times_close_by(rng):
    errors = lasting_errors(rng.normal(size=(4, 5, 400, 3)), 12)[:, :, 40:-40]
    np.testing.assert_allclose(errors.var(), 1.0, rtol=0.1)
    apart = [np.mean(errors[:, :, each:] * errors[:, :, :-each]) for each in (2, 6, 36)]
    np.testing.assert_allclose(apart, np.exp([-1 / 36, -1 / 4, -9]), atol=0.1)


def test_errors_are_made_as_large_as_stated(rng):
    std = np.linspace(1, 3, 100)[:, None] * [[[[1.0, 5.0]]]]
    errors = std * rng.normal(size=(3, 20, 100, 2)) * [[[4.0, 4.0]]]
    found = as_large_as(np.tile(std, (3, 1, 1, 1)), errors, 16)
    np.testing.assert_allclose(np.square(found / std).mean(axis=(0, 1, 3)), 1.0, atol=0.4)
    np.testing.assert_allclose(np.square(found / std).mean(), 1.0, atol=0.05)
    factor = found / errors
    np.testing.assert_allclose(factor[..., 0], factor[..., 1])


def test_samples_of_a_model_with_dynamics_obey_them(truth):
    model = FourDVarNet(
        true_flow("l63"),
        GradientSolver(FixedStepCell(0.1), 1),
        AttentionFirstGuess(4, 8, 1, 2),
        uncertainty=GaussianPosterior(network()),
    )
    model.adapt(truth)
    samples = model.sample(truth, 3, seed=1)
    assert samples.shape == (3, *truth.shape)
    assert residual(samples) < 1e-4
    assert samples.std(axis=0).mean() > 1e-3
    np.testing.assert_allclose(samples[:, :2], model.sample(truth[:2], 3, 1), atol=1e-3)
