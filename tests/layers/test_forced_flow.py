import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.errors import InputError
from tf4dvar.layers import CostGradient, EulerFlow, RK4Flow, SystemODE, VariationalCost, ode_layer
from tf4dvar.layers.adjoint import with_adjoint
from tf4dvar.systems import System, covariates_of_steps


@keras.saving.register_keras_serializable(package="tests")
def pushed(state, push, damping):
    return push[..., None] * tf.sin(state) - damping * state


def plain(state, push, damping):
    return [push * state[..., 0] ** 2 - damping * state[..., 1], push - state[..., 0]]


@pytest.fixture(params=[EulerFlow, RK4Flow])
def flow(request):
    ode = ode_layer(pushed, components=2, covariates=("push",), damping=0.3, dtype="float64")
    return request.param(ode, 0.1, dtype="float64")


@pytest.fixture
def given(rng):
    return rng.normal(size=(3, 7, 2)), rng.normal(size=(3, 7, 1))


def test_it_is_saved_with_its_covariates_and_a_window_is_one_alone(flow, given, tmp_path):
    (together,) = check_layer(flow, *given, tmp_path=tmp_path)
    np.testing.assert_allclose(flow(*(each[:1] for each in given))[0], together[0], rtol=1e-12)


def test_the_adjoint_is_that_of_the_tape_and_of_finite_differences(flow, given, rng):
    state, covariates = map(tf.constant, given)
    residual = tf.constant(rng.normal(size=state.shape))
    value, adjoint = with_adjoint(flow, state, covariates)
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = flow(state, covariates)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    taped = tape.gradient(expected, state, residual)
    np.testing.assert_allclose(adjoint(residual), taped, rtol=1e-6, atol=1e-12)
    direction = rng.normal(size=state.shape)
    ahead, back = (flow(state + step * direction, covariates) for step in (1e-6, -1e-6))
    difference = tf.reduce_sum((ahead - back) * residual) / 2e-6
    np.testing.assert_allclose(tf.reduce_sum(taped * direction), difference, rtol=1e-6)


def test_it_is_the_step_of_the_system(given):
    system = System(
        plain,
        components=("a", "b"),
        time_step=0.1,
        initial=np.zeros((1, 2)),
        covariates=("push",),
        damping=0.3,
    )
    flow = RK4Flow(SystemODE(system, dtype="float64"), 0.1, dtype="float64")
    states, covariates = given
    expected = system.step(states[:, :-1], covariates=covariates_of_steps(covariates))
    np.testing.assert_allclose(flow(states, covariates)[:, 1:], expected, rtol=1e-12)
    np.testing.assert_array_equal(flow(states, covariates)[:, 0], states[:, 0])
    with pytest.raises(InputError, match="plain was given as an object, which a saved model"):
        flow.ode.get_config()


def test_all_places_of_a_field_have_the_covariates_of_their_time(flow, rng):
    states, covariates = rng.normal(size=(2, 5, 4, 2)), rng.normal(size=(2, 5, 1))
    fields = flow(states, covariates)
    for place in range(4):
        np.testing.assert_allclose(
            fields[:, :, place], flow(states[:, :, place], covariates), rtol=1e-12
        )


def test_the_gradient_of_the_cost_is_that_of_the_tape(flow, given, rng):
    state, covariates = map(tf.constant, given)
    cost = VariationalCost(flow, 0.7, 1.3, dtype="float64")
    gradient = CostGradient(cost, dtype="float64")
    gradient.build(state.shape)
    data = tf.constant(rng.normal(size=state.shape)), tf.constant(rng.random(state.shape))
    found, costs = gradient(state, *data, covariates)
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = cost(state, *data, covariates)
    np.testing.assert_allclose(costs, expected, rtol=1e-12)
    np.testing.assert_allclose(found, tape.gradient(expected, state), rtol=1e-6, atol=1e-12)


def test_another_number_of_covariates_is_refused(flow, given):
    states, covariates = given
    flow(states, covariates)
    for wrong, count in ((None, 0), (covariates.repeat(3, axis=-1), 3)):
        with pytest.raises(InputError, match=f"received {count} covariates; its ODE FunctionODE t"):
            flow.with_adjoint(tf.constant(states), None if wrong is None else tf.constant(wrong))
