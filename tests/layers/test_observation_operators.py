import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import (
    CostGradient,
    LinearObservation,
    Normalisation,
    NormalisedObservation,
    Prior,
    VariationalCost,
)
from tf4dvar.layers.adjoint import with_adjoint

F64 = {"dtype": "float64"}
MATRIX = np.array([[1.0, 0.0, 2.0], [0.0, 100.0, 0.0]])


@keras.saving.register_keras_serializable(package="tests")
class Speed(keras.layers.Layer):
    """What a wind speed is to its first two components: not linear."""

    def call(self, state):
        return tf.sqrt(1.0 + tf.reduce_sum(tf.square(state[..., :2]), -1, keepdims=True))


class MidwayPrior(Prior):
    """Half the state."""

    def call(self, state):
        return state / 2


def scaled(rng, components, dtype="float64"):
    normalisation = Normalisation(dtype=dtype)
    normalisation.adapt(rng.normal(3.0, np.arange(1.0, components + 1), size=(20, 9, components)))
    return normalisation


@pytest.fixture
def states(rng):
    return rng.normal(size=(2, 7, 3))


def test_a_linear_operator_is_its_matrix(states, tmp_path):
    np.testing.assert_allclose(LinearObservation(MATRIX, **F64)(states), states @ MATRIX.T)
    check_layer(LinearObservation(MATRIX), states.astype("float32"), tmp_path=tmp_path)


def test_side_by_side_between_normalised_units(states, rng, tmp_path):
    normalisation, seen_scaling = scaled(rng, 3), scaled(rng, 3)
    operators = [LinearObservation(MATRIX, **F64), Speed(**F64)]
    normalised = NormalisedObservation(operators, normalisation, seen_scaling, **F64)
    seen = normalised(states)
    assert normalised.sources == (2, 1)
    physical = normalisation.inverse(states)
    expected = np.concatenate([operator(physical) for operator in operators], axis=-1)
    np.testing.assert_allclose(seen_scaling.inverse(seen), expected, rtol=1e-12)
    single = NormalisedObservation(
        [LinearObservation(MATRIX), Speed()], scaled(rng, 3, "float32"), scaled(rng, 3, "float32")
    )
    check_layer(single, states.astype("float32"), tmp_path=tmp_path)


@pytest.mark.parametrize(
    "operators",
    [
        lambda: [LinearObservation(MATRIX, **F64)],
        lambda: [LinearObservation(MATRIX, **F64), Speed(**F64)],
    ],
)
def test_its_adjoint_is_its_automatic_adjoint(operators, states, rng):
    operators = operators()
    observed = 1 + len(operators)
    normalised = NormalisedObservation(operators, scaled(rng, 3), scaled(rng, observed), **F64)
    state = tf.constant(states)
    residual = tf.constant(rng.normal(size=(2, 7, observed)))
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = normalised(state)
    seen, adjoint = with_adjoint(normalised, state)
    np.testing.assert_allclose(seen, expected, rtol=1e-12)
    np.testing.assert_allclose(
        adjoint(residual), tape.gradient(expected, state, residual), rtol=1e-9, atol=1e-12
    )


def test_the_pseudo_inverse_explains_the_observations_with_the_least_departure(states, rng):
    normalisation, seen_scaling = scaled(rng, 3), scaled(rng, 2)
    normalised = NormalisedObservation(
        [LinearObservation(MATRIX, **F64)], normalisation, seen_scaling, **F64
    )
    normalised.build((None, None, 3))
    observations = rng.normal(size=(2, 7, 2))
    found = normalised.pseudo_inverse(tf.constant(observations))
    np.testing.assert_allclose(normalised(found), observations, atol=1e-9)
    # Any other state that explains them is farther from the mean.
    matrix = MATRIX * normalisation.std.numpy()
    unseen = np.linalg.svd(matrix)[2][2]
    np.testing.assert_allclose(matrix @ unseen, 0.0, atol=1e-12)
    np.testing.assert_allclose(found @ unseen[:, None], 0.0, atol=1e-9)


def test_sources_within_an_operator_are_sources_of_the_cost(states, rng):
    class TwoInstruments(LinearObservation):
        sources = (1, 1)

    def cost(*operators):
        observed = sum(len(operator.matrix) for operator in operators)
        normalised = NormalisedObservation(operators, scaled(rng, 3), scaled(rng, observed), **F64)
        return VariationalCost(MidwayPrior(**F64), (2.0, 3.0, 5.0), operator=normalised, **F64)

    def rows(*which, kind=LinearObservation):
        return kind(MATRIX[list(which)], **F64)

    apart = cost(rows(0), rows(1), rows(1))
    within = cost(rows(0, 1, kind=TwoInstruments), rows(1))
    observations, mask = rng.normal(size=(2, 2, 7, 3))
    mask = (mask > 0).astype(float)
    for each in (apart, within):
        each.build((None, None, 3))
        for normalisation in (each.operator.normalisation, each.operator.observation_normalisation):
            normalisation.mean.assign([1.0, 2.0, 3.0])
            normalisation.std.assign([4.0, 5.0, 6.0])
    assert within.operator.sources == (1, 1, 1)
    for ours, theirs in zip(
        CostGradient(within, **F64)(states, observations, mask),
        CostGradient(apart, **F64)(states, observations, mask),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_sources_that_do_not_add_up_are_refused(rng):
    class Wrong(LinearObservation):
        sources = (1, 2)

    normalised = NormalisedObservation([Wrong(MATRIX, **F64)], scaled(rng, 3), scaled(rng, 2))
    with pytest.raises(ValueError, match=r"Wrong with sources=\(1, 2\); .* the 2 values"):
        normalised.build((None, None, 3))


def test_two_instruments_of_one_component_are_averaged(rng):
    operators = [LinearObservation([[1.0, 0.0]], **F64), LinearObservation([[1.0, 0.0]], **F64)]
    normalisation, seen_scaling = Normalisation(**F64), Normalisation(**F64)
    normalised = NormalisedObservation(operators, normalisation, seen_scaling, **F64)
    normalised.build((None, None, 2))
    found = normalised.pseudo_inverse(tf.constant([[[1.0, 3.0]]], tf.float64))
    np.testing.assert_allclose(found, [[[2.0, 0.0]]], atol=1e-12)


def test_what_does_not_fit_is_refused(states):
    with pytest.raises(ValueError, match=r"expected \[batch, time, 3\]"):
        LinearObservation(MATRIX)(states[..., :2])
    with pytest.raises(ValueError, match=r"shape \(3,\); expected finite numbers"):
        LinearObservation(MATRIX[0])
    with pytest.raises(ValueError, match="expected finite numbers"):
        LinearObservation(MATRIX * np.nan)
