import numpy as np
import pytest

from tf4dvar.classical import bayes_limit
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63, random_stream, sample_windows

STEPS = 12


def test_agrees_with_weights_of_independent_windows(rng):
    """Short windows, for which a plain sample of independent trajectories is enough."""
    system = Lorenz63()
    truth = sample_windows(system, 4, 3000, seed=1)[:, -STEPS:]
    observations = np.full(truth.shape, np.nan)
    observations[:, ::4, 0] = truth[:, ::4, 0] + np.sqrt(2.0) * rng.normal(size=(4, 3))
    observations[2:, 6, 2] = truth[2:, 6, 2] + np.sqrt(2.0) * rng.normal(size=2)
    found = bayes_limit(observations, system, 2.0, samples=1_000_000)
    long = sample_windows(system, 1000, 4000, random_stream("independent"))[:, 2000:]
    free = np.concatenate([long[:, s : s + STEPS] for s in range(0, 1980, 10)])
    for window in range(4):
        seen = ~np.isnan(observations[window])
        misfit = free[:, seen] - observations[window][seen]
        weights = np.exp(-np.square(misfit).sum(axis=1) / 4.0)
        weights /= weights.sum()
        mean = np.tensordot(weights, free, 1)
        variance = np.tensordot(weights, np.square(free - mean), 1)
        distance = (found.mean[window] - mean) / np.sqrt(variance)
        np.testing.assert_allclose(distance, 0.0, atol=0.1)
        np.testing.assert_allclose(found.variance[window], variance, rtol=0.2)
    assert np.all(found.effective_sample_size > 1000)


def test_without_observations_it_is_the_climatology(background):
    found = bayes_limit(np.full((1, 5, 3), np.nan), Lorenz63(), 2.0, samples=1)
    np.testing.assert_allclose(found.mean[0, 2], background.mean, atol=0.5)
    np.testing.assert_allclose(found.variance[0, 2], np.diag(background.covariance), rtol=0.06)


def test_parts_of_the_sample_are_the_whole(few, monkeypatch):
    whole = bayes_limit(few[:1], Lorenz63(), 200.0, samples=1)
    monkeypatch.setattr("tf4dvar.classical.importance_sampling.GATHERED", 7)
    parts = bayes_limit(few[:1], Lorenz63(), 200.0, samples=1)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(parts.variance, whole.variance, rtol=1e-6)


def test_small_samples_are_flagged(few, caplog):
    found = bayes_limit(few[:2], Lorenz63(), 0.01, samples=1)
    assert np.all(found.effective_sample_size < 30)
    assert "2 of 2 windows have an effective sample size below 30" in caplog.text
    with pytest.raises(InputError, match="3 components"):
        bayes_limit(few[..., :2], Lorenz63(), 2.0)
