"""A cost of several priors: each has a term of its own, in it and in its gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.finite_differences import directional_derivative
from tests.layers.layer_check import check_layer
from tf4dvar.errors import InputError
from tf4dvar.layers import (
    GENN,
    Convolution,
    CostGradient,
    LinearObservation,
    Lorenz63ODE,
    Normalisation,
    NormalisedObservation,
    NormalisedPrior,
    RK4Flow,
    VariationalCost,
    ode_layer,
)

F64 = {"dtype": "float64"}


@pytest.fixture
def data(rng):
    state, observations = rng.normal(size=(2, 3, 12, 3))
    mask = (rng.random(state.shape) < 0.4) * rng.uniform(0.5, 2.0, size=state.shape)
    return state, np.where(mask, observations, 0.0), mask


@pytest.fixture
def priors(rng):
    """Of physical units and of normalised ones."""
    normalisation = Normalisation(**F64)
    normalisation.adapt(rng.normal([0, 0, 24], 8, size=(9, 9, 3)))
    flow = RK4Flow(Lorenz63ODE(trainable=False, **F64), 0.01, **F64)
    return [NormalisedPrior(flow, normalisation, **F64), GENN(units=4, **F64)]


@keras.saving.register_keras_serializable(package="tests.several_priors")
def blown(state, wind):
    return [wind - component for component in tf.unstack(state, axis=-1)]


def gradient_of(prior, observation_weight=0.7, prior_weight=1.3, **settings):
    cost = VariationalCost(prior, observation_weight, prior_weight, **settings, **F64)
    return CostGradient(cost, **F64)


def assert_equal_sums(sums, parts):
    for ours, *theirs in zip(sums, *parts, strict=True):
        np.testing.assert_allclose(ours, sum(theirs), rtol=1e-12, atol=1e-12)


def test_exact_small_case():
    """Any layer of Keras is a prior: residuals of half the state, and twice it."""
    priors = [keras.layers.Rescaling(scale, **F64) for scale in (0.5, -1.0)]
    state = np.array([[[2.0], [4.0]]])
    nothing = np.zeros_like(state)
    cost = VariationalCost(priors, 1.0, (3.0, 5.0), **F64)
    expected = 3.0 * (1 + 4) / 2 + 5.0 * (16 + 64) / 2
    np.testing.assert_allclose(cost(state, nothing, nothing), [expected])


def test_cost_and_gradient_are_the_sums_of_those_with_one_prior_each(data, priors):
    together = gradient_of(priors, 0.7, (1.3, 5.0))(*data)
    flow, genn = gradient_of(priors[0], 0.3, 1.3)(*data), gradient_of(priors[1], 0.4, 5.0)(*data)
    assert_equal_sums(together, [flow, genn])


def test_so_they_are_where_sources_observe_by_operators(data, priors, rng):
    operators = [LinearObservation(rng.normal(size=(rows, 3)), **F64) for rows in (2, 1)]
    scalings = Normalisation(**F64), Normalisation(**F64)
    operator = NormalisedObservation(operators, *scalings, **F64)
    together = gradient_of(priors, (2.0, 4.0), (1.3, 5.0), operator=operator)(*data)
    parts = [
        gradient_of(prior, (1.0, 2.0), weight, operator=operator)(*data)
        for prior, weight in zip(priors, (1.3, 5.0), strict=True)
    ]
    assert_equal_sums(together, parts)


def test_the_gradient_agrees_with_finite_differences(data, priors, rng):
    gradient = gradient_of(priors, 0.7, (1.3, 5.0))
    state, *seen = data
    value, cost = gradient(state, *seen)
    np.testing.assert_allclose(cost, gradient.cost(state, *seen), rtol=1e-12)
    for _ in range(5):
        direction = rng.normal(size=state.shape)
        expected = directional_derivative(lambda x: gradient.cost(x, *seen), state, direction)
        found = np.sum(value * direction, axis=(1, 2))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_two_equal_priors_of_half_the_weight_are_one(data, priors):
    halves = gradient_of([priors[1]] * 2, prior_weight=0.65)(*data)
    assert_equal_sums(halves, [gradient_of(priors[1], prior_weight=1.3)(*data)])


def test_one_weight_is_for_all_of_them(data, priors):
    one, each = (gradient_of(priors, prior_weight=weight) for weight in (1.3, [1.3, 1.3]))
    assert_equal_sums(one(*data), [each(*data)])
    np.testing.assert_array_equal(one.cost.log_weights, each.cost.log_weights)


def test_each_term_is_a_mean_over_the_sea(rng):
    shape = (2, 4, 5, 6, 1)
    state, observations = (tf.constant(each) for each in rng.normal(size=(2, *shape)))
    sea = np.ones((2, 1, 5, 6, 1))
    sea[:, :, :2, :3] = sea[1, :, 4] = 0
    mask = tf.constant((rng.random(shape) < 0.4) * sea)
    priors = [Convolution(1, 3, zero_centre=True, **F64) for _ in range(2)]
    gradient = gradient_of(priors, 2.0, (3.0, 5.0))
    value, costs = gradient(state, observations, mask, sea=tf.constant(sea))
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = gradient.cost(state, observations, mask, sea=tf.constant(sea))
    np.testing.assert_allclose(costs, expected, rtol=1e-12)
    np.testing.assert_allclose(value, tape.gradient(expected, state), rtol=1e-9, atol=1e-12)
    wet = np.broadcast_to(sea > 0, shape)
    np.testing.assert_array_equal(value.numpy()[~wet], 0.0)
    for window in range(2):
        dry = np.where(wet, state, 0.0)[window]
        by_hand = 2.0 * np.mean((state - observations)[window].numpy()[mask[window] > 0] ** 2)
        for prior, weight in zip(priors, (3.0, 5.0), strict=True):
            residual = (dry - prior(dry[np.newaxis])[0].numpy())[wet[window]]
            by_hand += weight * np.mean(residual**2)
        np.testing.assert_allclose(costs[window], by_hand, rtol=1e-12)


def test_covariates_go_to_those_alone_that_take_some(data, priors, rng):
    ode = ode_layer(blown, components=3, covariates=("wind",), **F64)
    forced = RK4Flow(ode, 0.1, **F64)
    wind = rng.normal(size=(3, 12, 1))
    together = gradient_of([priors[1], forced], 0.7, (1.3, 5.0))(*data, wind)
    parts = gradient_of(priors[1], 0.3)(*data), gradient_of(forced, 0.4, 5.0)(*data, wind)
    assert_equal_sums(together, parts)
    with pytest.raises(InputError, match=r"NormalisedPrior \+ GENN, takes none; leave them out"):
        gradient_of(priors).cost(*data, wind)


def test_their_prediction_is_what_their_terms_draw_the_state_to(data, priors):
    state, cost = data[0], VariationalCost(priors, prior_weight=(1.0, 3.0), **F64)
    cost.build(state.shape)
    flow, genn = (prior(state).numpy() for prior in priors)
    np.testing.assert_allclose(cost.prediction(state), (flow + 3 * genn) / 4, rtol=1e-12)
    alone = VariationalCost(priors[1], prior_weight=0.3, **F64)
    alone.build(state.shape)
    np.testing.assert_array_equal(alone.prediction(tf.constant(state)), genn)


def test_it_is_a_layer(rng, tmp_path):
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    flow = RK4Flow(Lorenz63ODE(), 0.01)
    priors = NormalisedPrior(flow, Normalisation()), GENN(units=4)
    layer = CostGradient(VariationalCost(priors, 1.0, [1.0, 2.0]))
    check_layer(layer, x, x, np.ones_like(x), tmp_path=tmp_path)
    assert layer.cost.log_weights.shape == (3,)
    learned = sum(len(prior.trainable_variables) for prior in priors)
    assert len(layer.trainable_variables) == learned + 1


@pytest.mark.parametrize(
    ("prior", "weight", "message"),
    [
        ([], 1.0, r"prior=\[\]; expected a Keras layer, built or not, or a list of one or more"),
        ([GENN(), "rk4"], 1.0, "expected a Keras layer, built or not, or a list"),
        ({"flow": GENN()}, 1.0, "expected a Keras layer, built or not, or a list"),
        ([GENN(), GENN()], [1.0, 2.0, 3.0], "prior_weight=.*one number for all, or 2 of them"),
        ([GENN(), GENN()], [], "prior_weight=.*one number for all, or 2 of them"),
        (GENN(), [1.0, 2.0], "prior_weight=.*one number for all, or 1 of them"),
        ([GENN(), GENN()], [1.0, 0.0], "expected positive numbers"),
        ([GENN(), GENN()], [1.0, float("nan")], "expected positive numbers"),
    ],
)
def test_what_is_none_is_refused(prior, weight, message):
    with pytest.raises(ValueError, match=message):
        VariationalCost(prior, prior_weight=weight)


def test_as_many_weights_as_sources_are_asked_for():
    with pytest.raises(InputError, match=r"observation_weight=.*one number for all, or 1 of them"):
        VariationalCost(GENN(), [1.0, 2.0]).build((None, None, 3))
