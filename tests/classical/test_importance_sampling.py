import numpy as np
import pytest

from tf4dvar.classical import ImportanceSampling, Problem
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63, random_stream, sample_windows

STEPS = 12


def sample(observations, noise_variance, samples=1):
    problem = Problem(observations, None, noise_variance, system=Lorenz63())
    return ImportanceSampling(samples).analyse(problem)


@pytest.mark.long
def test_agrees_with_weights_of_independent_windows(rng):
    """Short windows, for which a plain sample of independent trajectories is enough."""
    system = Lorenz63()
    truth = sample_windows(system, 4, 3000, seed=1)[:, -STEPS:]
    observations = np.full(truth.shape, np.nan)
    observations[:, ::4, 0] = truth[:, ::4, 0] + np.sqrt(2.0) * rng.normal(size=(4, 3))
    observations[2:, 6, 2] = truth[2:, 6, 2] + np.sqrt(2.0) * rng.normal(size=2)
    found = sample(observations, 2.0, 1_000_000)
    long = sample_windows(system, 1000, 4000, random_stream("independent"))[:, 2000:]
    free = np.concatenate([long[:, s : s + STEPS] for s in range(0, 1980, 10)])
    for window in range(4):
        seen = ~np.isnan(observations[window])
        misfit = free[:, seen] - observations[window][seen]
        weights = np.exp(-np.square(misfit).sum(axis=1) / 4.0)
        weights /= weights.sum()
        mean = np.tensordot(weights, free, 1)
        variance = np.tensordot(weights, np.square(free - mean), 1)
        distance = (found.states[window] - mean) / np.sqrt(variance)
        np.testing.assert_allclose(distance, 0.0, atol=0.1)
        np.testing.assert_allclose(found.spread[window] ** 2, variance, rtol=0.2)
    assert np.all(found.effective_sample_size > 1000)


@pytest.mark.long
def test_draws_are_trajectories_as_often_as_they_weigh(few, monkeypatch):
    """Their mean and deviation are those of the posterior; whatever the parts of the sample are."""
    monkeypatch.setattr("tf4dvar.classical.importance_sampling.GATHERED", 500)
    problem = Problem(few[:2], None, 20.0, system=Lorenz63())
    found = ImportanceSampling(1_000_000, draws=400).analyse(problem)
    assert (found.effective_sample_size > 100).all()
    assert found.samples.shape == (2, 400, *few.shape[1:])
    scaled = (found.samples.mean(axis=1) - found.states) / found.spread
    np.testing.assert_allclose(scaled, 0.0, atol=5 / np.sqrt(400))
    ratio = found.samples.std(axis=1) / found.spread
    np.testing.assert_allclose(ratio.mean(axis=(1, 2)), 1.0, atol=0.1)
    np.testing.assert_allclose(ratio, 1.0, atol=0.4)
    ahead = Lorenz63().step(found.samples[:, :, :-1].astype("float64"))
    np.testing.assert_allclose(ahead, found.samples[:, :, 1:], atol=1e-4)


def test_without_observations_it_is_the_climatology(background):
    found = sample(np.full((1, 5, 3), np.nan), 2.0)
    np.testing.assert_allclose(found.states[0, 2], background.mean, atol=0.5)
    np.testing.assert_allclose(found.spread[0, 2] ** 2, np.diag(background.covariance), rtol=0.06)


@pytest.mark.long
def test_parts_of_the_sample_are_the_whole(few, monkeypatch):
    whole = sample(few[:1], 200.0)
    monkeypatch.setattr("tf4dvar.classical.importance_sampling.GATHERED", 7)
    parts = sample(few[:1], 200.0)
    np.testing.assert_allclose(parts.states, whole.states, rtol=1e-9)
    np.testing.assert_allclose(parts.spread**2, whole.spread**2, rtol=1e-6)


def test_draws_where_whole_blocks_of_samples_do_not_fit(few):
    """They are all the one that fits best."""
    problem = Problem(few[:2], None, 1e-5, system=Lorenz63())
    found = ImportanceSampling(1_000_000, draws=3).analyse(problem)
    assert (found.effective_sample_size < 1.1).all()
    for each in range(3):
        np.testing.assert_allclose(found.samples[:, each], found.states, rtol=1e-5)


def test_small_samples_are_flagged(few, caplog):
    found = sample(few[:2], 0.01)
    assert np.all(found.effective_sample_size < 30)
    assert not found.converged.any()
    assert "2 of 2 windows have an effective sample size below 30" in caplog.text
    with pytest.raises(InputError, match="3 components"):
        sample(few[..., :2], 2.0)
