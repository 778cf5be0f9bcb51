import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import (
    GENN,
    CostGradient,
    LinearObservation,
    Lorenz63ODE,
    Normalisation,
    NormalisedObservation,
    RK4Flow,
    VariationalCost,
)


class Halves(tf.keras.layers.Layer):
    """A prior whose residual is half the state."""

    def call(self, state):
        return state / 2


def test_exact_small_case():
    state = np.array([[[2.0], [4.0]], [[6.0], [8.0]]])
    observations = np.array([[[1.0], [0.0]], [[0.0], [0.0]]])
    mask = np.array([[[1.0], [0.0]], [[0.0], [0.0]]])
    cost = VariationalCost(Halves(dtype="float64"), 3.0, 5.0, dtype="float64")
    # First window: misfit (2 - 1)^2 over one entry; residuals 1 and 2. Second: unobserved.
    expected = [3.0 * 1.0 + 5.0 * (1 + 4) / 2, 5.0 * (9 + 16) / 2]
    np.testing.assert_allclose(cost(state, observations, mask), expected)


def observing(*matrices):
    scalings = Normalisation(dtype="float64"), Normalisation(dtype="float64")
    operators = [LinearObservation(matrix, dtype="float64") for matrix in matrices]
    return NormalisedObservation(operators, *scalings, dtype="float64")


def test_exact_small_case_of_two_sources_of_observations():
    state = np.array([[[2.0, 4.0], [6.0, 8.0]]])
    # A sum, and the difference with the second component alone.
    operator = observing([[1.0, 1.0]], [[1.0, -1.0], [0.0, 1.0]])
    observations = np.array([[[5.0, 0.0, 2.0], [0.0, -4.0, 7.0]]])
    mask = np.array([[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]])
    cost = VariationalCost(
        Halves(dtype="float64"), (3.0, 7.0), 5.0, operator=operator, dtype="float64"
    )
    # Departures 1; then 2, 2 and 1. Residuals are half the state.
    expected = 3.0 * 1.0 + 7.0 * (4 + 4 + 1) / 3 + 5.0 * (1 + 4 + 9 + 16) / 4
    np.testing.assert_allclose(cost(state, observations, mask), [expected])


def test_observing_everything_by_a_matrix_is_observing_the_state(rng):
    state, observations = rng.normal(size=(2, 3, 9, 2))
    mask = (rng.random(state.shape) < 0.4).astype("float64")
    plain, by_matrix = (
        VariationalCost(Halves(dtype="float64"), 3.0, 5.0, operator=operator, dtype="float64")
        for operator in (None, observing(np.eye(2)))
    )
    gradients = (CostGradient(cost, dtype="float64") for cost in (plain, by_matrix))
    results = (gradient(state, observations, mask) for gradient in gradients)
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_entries_count_by_the_inverse_of_their_noise_variance():
    state, observations = np.array([[[1.0], [5.0], [9.0]]]), np.zeros((1, 3, 1))
    cost = VariationalCost(Halves(dtype="float64"), dtype="float64")
    precision = np.array([[[1.0], [0.25], [0.0]]])
    prior_term = (0.25 + 6.25 + 20.25) / 3
    expected = (1.0 * 1 + 0.25 * 25) / 1.25 + prior_term
    np.testing.assert_allclose(cost(state, observations, precision), [expected])
    np.testing.assert_allclose(cost(state, observations, 1e6 * precision), [expected])


def test_truth_without_noise_costs_nothing(windows):
    truth = windows["truth"].values
    flow = RK4Flow(Lorenz63ODE(dtype="float64"), 0.01, dtype="float64")
    cost = VariationalCost(flow, dtype="float64")(truth, truth, np.ones_like(truth))
    np.testing.assert_allclose(cost, 0.0, atol=1e-20)


def test_weights_stay_positive_whatever_the_gradient():
    cost = VariationalCost(Halves(), 0.01, 1.0)
    x = np.ones((1, 4, 2), "float32")
    cost(x, x, x)
    optimizer = tf.keras.optimizers.SGD(100.0)
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(cost(x, 3 * x, x))
        optimizer.apply(tape.gradient(loss, cost.trainable_variables), cost.trainable_variables)
    assert np.all(np.exp(cost.log_weights) >= 0)
    assert np.isfinite(cost(x, 3 * x, x)).all()


def test_frozen_weights_are_exact_and_not_trained():
    cost = VariationalCost(Halves(), 0.01, 1.0, learn_weights=False)
    cost.build((None, None, 2))
    assert not cost.trainable_variables
    np.testing.assert_allclose(np.exp(cost.log_weights), [0.01, 1.0], rtol=1e-6)


def test_layer(rng, tmp_path):
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    mask = (rng.random(x.shape) < 0.4).astype("float32")
    (cost,) = check_layer(VariationalCost(GENN()), x, x * mask, mask, tmp_path=tmp_path)
    assert cost.shape == (2,)


def test_each_source_has_a_weight_of_its_own(rng, tmp_path):
    operator = NormalisedObservation(
        [LinearObservation([[1.0, 1.0]]), LinearObservation(np.eye(2))],
        Normalisation(),
        Normalisation(),
    )
    state = rng.normal(size=(2, 9, 2)).astype("float32")
    seen = rng.normal(size=(2, 9, 3)).astype("float32")
    cost = VariationalCost(GENN(), 0.5, 2.0, operator=operator)
    check_layer(cost, state, seen, np.ones_like(seen), tmp_path=tmp_path)
    assert cost.log_weights.shape == (3,)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), (1.0, 0.0)])
def test_weights_that_are_not_positive_are_refused(weight):
    with pytest.raises(ValueError, match="expected positive numbers"):
        VariationalCost(Halves(), observation_weight=weight)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_prior_weight_that_is_not_positive_is_refused(weight):
    with pytest.raises(ValueError, match="expected positive numbers"):
        VariationalCost(Halves(), prior_weight=weight)
