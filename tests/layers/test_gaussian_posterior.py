"""A Gaussian over windows against its dense covariance."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import multivariate_normal, norm

from tests.layers.layer_check import check_layer
from tf4dvar.errors import InputError
from tf4dvar.layers import (
    AttentionFirstGuess,
    GaussianPosterior,
    PeriodicFirstGuess,
    UNetFirstGuess,
)
from tf4dvar.layers.gaussian_posterior import (
    TOGETHER,
    Spread,
    errors_of,
    negative_log_likelihood,
)

TOLD = {"background": True, "weighted": True, "outputs": 4}
NETWORKS = {
    "attention": lambda **given: AttentionFirstGuess(4, 8, 1, 2, **given),
    "periodic": lambda **given: PeriodicFirstGuess(4, 8, 1, **given),
    "unet": lambda **given: UNetFirstGuess(4, 1, segment=4, **given),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


@pytest.fixture
def spread(rng):
    std, loads = rng.uniform(0.5, 2.0, (2, 4, 3)), rng.normal(size=(2, 4, 3, 2))
    return Spread(tf.constant(std), tf.constant(loads))


def dense(spread, window):
    own, loads = (each[window].numpy() for each in (spread.own, spread.loads))
    columns = (own[..., np.newaxis] * loads).reshape(-1, loads.shape[-1])
    return np.diag(own.ravel() ** 2) + columns @ columns.T


def inputs(shape, rng):
    weights = np.where(rng.random(shape) < 0.5, rng.uniform(0.5, 8.0, shape), 0.0)
    departures = np.where(weights > 0, rng.normal(size=shape), 0.0)
    return [each.astype("float32") for each in (departures, weights, rng.normal(size=shape))]


@every_network
def test_layer(network, rng, tmp_path):
    shape = (2, 10, 6) if network is not NETWORKS["unet"] else (2, 8, 6, 4, 1)
    layer = GaussianPosterior(network(**TOLD))
    std, loads = check_layer(layer, *inputs(shape, rng), tmp_path=tmp_path)
    assert std.shape == shape
    assert loads.shape == (*shape, layer.rank)
    assert (std > 0).all()


@every_network
def test_all_that_it_is_given_counts(network, rng):
    shape = (2, 10, 6) if network is not NETWORKS["unet"] else (2, 8, 6, 4, 1)
    layer = GaussianPosterior(network(**TOLD))
    given = inputs(shape, rng)
    before = layer(*given).std.numpy()
    seen = given[1] > 0
    for number, changed in enumerate((seen * 1.0, seen * 2.0, np.ones(shape))):
        other = [each.copy() for each in given]
        other[number] = (other[number] + changed).astype("float32")
        assert not np.allclose(layer(*other).std, before)


def test_its_likelihood_is_that_of_each_entry_and_of_all(spread, rng):
    known = rng.random((2, 4, 3)) < 0.7
    errors = np.where(known, rng.normal(size=known.shape), 0.0)
    found = negative_log_likelihood(spread, tf.constant(errors), tf.constant(known))
    for window in range(2):
        which = known[window].ravel()
        covariance = dense(spread, window)[np.ix_(which, which)]
        some = errors[window].ravel()[which]
        together = multivariate_normal(cov=covariance).logpdf(some)
        each = norm(scale=np.sqrt(np.diag(covariance))).logpdf(some).sum()
        constants = (1 + TOGETHER) / 2 * which.sum() * np.log(2 * np.pi)
        expected = -(each + TOGETHER * together + constants) / which.sum()
        np.testing.assert_allclose(found[window], expected, rtol=1e-12)


def test_a_window_of_which_nothing_is_known_says_nothing(spread):
    nothing = tf.zeros((2, 4, 3), tf.float64)
    np.testing.assert_array_equal(negative_log_likelihood(spread, nothing, nothing), 0.0)


def test_errors_have_its_covariance(spread):
    """They are linear in the noise: of unit vectors, the columns of a root of the covariance."""
    entries, rank = 12, 2
    identity = np.eye(entries + rank)
    own = np.broadcast_to(identity[:, :entries].reshape(-1, 4, 3), (2, entries + rank, 4, 3))
    common = np.broadcast_to(identity[:, entries:], (2, entries + rank, rank))
    errors = errors_of(spread, tf.constant(own), tf.constant(common)).numpy()
    for window in range(2):
        columns = errors[window].reshape(-1, entries)
        covariance = dense(spread, window)
        np.testing.assert_allclose(columns.T @ columns, covariance, atol=1e-12)
        variance = np.square(spread.std[window].numpy().ravel())
        np.testing.assert_allclose(variance, np.diag(covariance), rtol=1e-12)


def test_under_half_precision_it_is_as_precise_as_the_state(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = GaussianPosterior(NETWORKS["attention"](**TOLD))
        assert layer(*inputs((1, 8, 3), rng)).std.dtype == tf.float32
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("given", [{"outputs": 4}, {"background": True}])
def test_a_network_that_cannot_say_it_is_refused(given):
    with pytest.raises(InputError, match="takes the reconstruction as its background"):
        GaussianPosterior(AttentionFirstGuess(**given))


def test_a_start_of_a_unet_knows_the_noise_itself():
    with pytest.raises(InputError, match="expected none of these"):
        UNetFirstGuess(start=UNetFirstGuess(4, 1), background=True)
