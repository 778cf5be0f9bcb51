import numpy as np
import pytest

from tf4dvar.classical.ensemble import gaspari_cohn, square_root, weights_of_members
from tf4dvar.data.grid import distances


def test_taper_falls_from_one_to_zero_around_a_circle():
    places = np.arange(40.0)[:, None]
    taper = gaspari_cohn(distances(places, places, np.array([40])), 10.0)
    np.testing.assert_allclose(np.diag(taper), 1.0)
    np.testing.assert_allclose(taper, taper.T)
    row = taper[0]
    assert np.all(np.diff(row[:11]) < 0)
    np.testing.assert_allclose(row[10:31], 0.0, atol=1e-12)
    np.testing.assert_allclose(row[1:20], row[:20:-1])
    # Gaspari and Cohn (1999), eq. 4.10, at half its range.
    np.testing.assert_allclose(row[5], 5 / 24, rtol=1e-12)
    assert np.linalg.eigvalsh(taper)[0] > -1e-10


@pytest.fixture
def ensemble(rng):
    """Members, what they simulate of observations with errors of variance 1, and innovations."""
    members = rng.normal(size=(9, 4)) @ rng.normal(size=(4, 4))
    members -= members.mean(axis=0)
    return members, members[:, [0, 2]], rng.normal(size=2)


def textbook(members, observed):
    """P H^T, H P H^T and the gain of them."""
    count = len(members) - 1
    cross, among = members.T @ observed / count, observed.T @ observed / count
    return cross, among, cross @ np.linalg.inv(among + np.eye(2))


def test_perturbed_members_are_moved_by_the_gain(ensemble, rng):
    members, observed, innovation = ensemble
    cross, among, gain = textbook(members, observed)
    noise = rng.normal(size=observed.shape)
    weights = weights_of_members(innovation, observed, among, np.eye(2), noise)
    for weight, simulated, error in zip(weights, observed, noise, strict=True):
        moved = gain @ (innovation + error - simulated)
        np.testing.assert_allclose(cross @ weight, moved, rtol=1e-10)


def test_without_perturbations_the_covariance_is_that_of_the_kalman_filter(ensemble):
    members, observed, innovation = ensemble
    cross, among, gain = textbook(members, observed)
    weights = weights_of_members(innovation, observed, among, np.eye(2), None)
    np.testing.assert_allclose(cross @ weights.mean(axis=0), gain @ innovation, rtol=1e-10)
    after = members + weights @ cross.T
    np.testing.assert_allclose(
        np.cov(after.T), np.cov(members.T) - gain @ cross.T, atol=1e-10, rtol=1e-8
    )


def test_windows_are_side_by_side(ensemble, rng):
    _, observed, innovation = ensemble
    among, noise = observed.T @ observed, rng.normal(size=observed.shape)
    for given in (noise, None):
        alone = weights_of_members(innovation, observed, among, np.eye(2), given)
        two = [np.stack([each, 2 * each]) for each in (innovation, observed, among)]
        both = None if given is None else np.stack([given, given])
        together = weights_of_members(*two, np.stack(2 * [np.eye(2)]), both)
        np.testing.assert_allclose(together[0], alone, rtol=1e-10)


def test_a_square_root_is_one(rng):
    factor = rng.normal(size=(3, 4, 2))
    matrices = factor @ factor.swapaxes(1, 2)
    roots = square_root(matrices)
    np.testing.assert_allclose(roots @ roots, matrices, atol=1e-12)
    np.testing.assert_allclose(roots, roots.swapaxes(1, 2), atol=1e-12)
