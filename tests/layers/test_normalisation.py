import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tf4dvar.layers import EulerFlow, Lorenz63ODE, Normalisation, NormalisedPrior


def adapted(observations, dtype="float64"):
    normalisation = Normalisation(dtype=dtype)
    normalisation.adapt(observations)
    return normalisation


def test_fits_the_observed_values_alone(rng):
    values = rng.normal([1.0, -5.0, 100.0], [2.0, 0.5, 30.0], size=(50, 40, 3))
    observations = np.where(rng.random(values.shape) < 0.3, values, np.nan)
    normalisation = adapted(observations)
    np.testing.assert_allclose(normalisation.mean, np.nanmean(observations, (0, 1)))
    np.testing.assert_allclose(normalisation.std, np.nanstd(observations, (0, 1)))


def test_it_is_fitted_and_never_trained():
    normalisation = adapted(np.ones((2, 3, 4)))
    assert normalisation.trainable_variables == []
    assert normalisation.mean.shape == normalisation.std.shape == (4,)


def test_what_was_observed_once_or_twice_counts_as_often():
    observations = np.full((1, 3, 2), np.nan)
    observations[0, :2, 0] = 3.0, 5.0
    observations[0, 2, 1] = -7.0
    normalisation = adapted(observations)
    np.testing.assert_allclose(normalisation.mean, [4.0, -7.0])
    # Of the second nothing is known but the pooled deviation: that of the first, over all three.
    np.testing.assert_allclose(normalisation.std, [1.0, np.sqrt(2 / 3)])


def test_a_component_never_observed_has_mean_zero_and_the_pooled_deviation(windows):
    observations = windows["observations"].values
    normalisation = adapted(observations)
    np.testing.assert_allclose(normalisation.mean[1:], 0.0)
    np.testing.assert_allclose(normalisation.std, np.nanstd(observations[..., 0]))


def test_there_and_back_and_nan_stays(rng):
    states = rng.normal(size=(3, 5, 2)) * 7 + 4
    normalisation = adapted(states)
    np.testing.assert_allclose(normalisation.inverse(normalisation(states)), states)
    states[0, 0, 0] = np.nan
    assert np.isnan(normalisation(states)).sum() == 1


@pytest.mark.parametrize("value", [5.0, 0.1, 1e-30, 0.0])
def test_constant_values_do_not_divide_by_zero(value):
    # The mean of six times 0.1 is not 0.1.
    normalisation = adapted(np.full((2, 3, 1), value))
    found = normalisation(np.full((1, 1, 1), value + 1.0))
    np.testing.assert_allclose(found, [[[1.0]]])


def test_a_constant_component_takes_the_pooled_deviation(rng):
    observations = rng.normal(0.0, 3.0, size=(20, 10, 2))
    observations[..., 1] = 0.1
    varying = np.square(observations[..., 0] - observations[..., 0].mean()).sum()
    np.testing.assert_allclose(adapted(observations).std[1], np.sqrt(varying / 400))


def test_all_nan_is_refused():
    with pytest.raises(ValueError, match="all NaN"):
        adapted(np.full((2, 3, 1), np.nan))


def test_a_normalised_prior_is_the_physical_one_between_two_scalings(rng, tmp_path):
    states = rng.normal([0, 0, 24], 8, size=(2, 6, 3)).astype("float32")
    normalisation = adapted(states, "float32")
    flow = EulerFlow(Lorenz63ODE(), 0.01)
    prior = NormalisedPrior(flow, normalisation)
    np.testing.assert_allclose(
        normalisation.inverse(prior(normalisation(states))), flow(states), rtol=1e-4, atol=1e-4
    )
    check_layer(prior, states, tmp_path=tmp_path)
    check_layer(Normalisation(), states, tmp_path=tmp_path)
