import numpy as np
import pytest

from tf4dvar.classical import Gaussian, Problem, climatology
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63, sample_windows

FULL = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 4.0]])


def precision(observed, noise_variance):
    return Problem(np.where(observed, 1.0, np.nan), None, noise_variance).precision()


def test_scalar_diagonal_and_full_covariances_agree(rng):
    observed = rng.random((2, 5, 3)) < 0.5
    scalar, diagonal, full = (
        precision(observed, r) for r in (2.0, np.full(3, 2.0), 2.0 * np.eye(3)[None, None])
    )
    np.testing.assert_array_equal(scalar, diagonal)
    np.testing.assert_array_equal(scalar, full)
    np.testing.assert_array_equal(scalar, 0.5 * observed[..., None] * np.eye(3))


def test_precision_is_the_inverse_of_what_is_observed():
    observed = np.array([[[True, True, False], [False, True, True], [False] * 3]])
    found = precision(observed, FULL[None, None])[0]
    np.testing.assert_allclose(found[0, :2, :2], np.linalg.inv(FULL[:2, :2]), rtol=1e-12)
    np.testing.assert_allclose(found[1, 1:, 1:], np.linalg.inv(FULL[1:, 1:]), rtol=1e-12)
    assert np.count_nonzero(found[0, 2]) == np.count_nonzero(found[2]) == 0


@pytest.mark.parametrize("covariance", [0.0, -1.0, np.ones(2), -FULL, np.triu(FULL)])
def test_refuses_what_is_no_covariance(covariance):
    with pytest.raises(InputError, match=r"Received .*covariance"):
        Gaussian(np.zeros(3), covariance).precision()
    if np.ndim(covariance) == 2:
        with pytest.raises(InputError, match=r"Received .*covariance"):
            precision(np.ones((1, 2, 3), bool), covariance[None, None])


def test_background_by_variances_or_in_full(rng):
    mean = np.arange(3.0)
    short, full = (
        Gaussian(mean, np.array([1.0, 2.0, 3.0])),
        Gaussian(mean, np.diag([1.0, 2.0, 3.0])),
    )
    np.testing.assert_array_equal(short.precision(), full.precision())
    states = short.draw(rng, 50_000)
    np.testing.assert_allclose(states.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(states.var(axis=0), [1.0, 2.0, 3.0], rtol=0.03)


def test_climatology_is_that_of_long_trajectories():
    long = sample_windows(Lorenz63(), 20, 20_000, seed=3)[:, 5000:].reshape(-1, 3)
    background = climatology(Lorenz63())
    np.testing.assert_allclose(background.mean, long.mean(axis=0), atol=0.4)
    np.testing.assert_allclose(background.covariance, np.cov(long.T), atol=3.0)
