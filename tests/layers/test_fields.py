"""States of a gridded field, [batch, time, y, x, variable], through the whole solver."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers import (
    ConvCell,
    Convolution,
    CostGradient,
    GradientSolver,
    LinearInterpolation,
    LinearObservation,
    Lorenz63ODE,
    LSTMCell,
    Normalisation,
    NormalisedObservation,
    NormalisedPrior,
    RK4Flow,
    VariationalCost,
)

F64 = {"dtype": "float64"}


@pytest.fixture
def field(rng):
    """A state, its observations with 0 where there are none, and their mask."""
    state = rng.normal(size=(2, 6, 4, 5, 3))
    mask = (rng.random(state.shape) < 0.4).astype(float)
    return state, mask * rng.normal(size=state.shape), mask


def neighbours(**settings):
    return Convolution(3, 3, ("reflected", "periodic"), zero_centre=True, **settings)


def flow(normalisation):
    return NormalisedPrior(RK4Flow(Lorenz63ODE(**F64), 0.01, **F64), normalisation, **F64)


@pytest.mark.parametrize("observed", ["itself", "by an operator"])
@pytest.mark.parametrize("prior", ["convolution", "flow"])
def test_the_gradient_is_that_of_the_cost(prior, observed, field):
    normalisation = Normalisation(**F64)
    normalisation.adapt(3.0 + 2.0 * field[0])
    operator = LinearObservation(np.diag([1.0, 2.0, 3.0]), **F64)
    operator = NormalisedObservation([operator], normalisation, Normalisation(**F64), **F64)
    cost = VariationalCost(
        neighbours(**F64) if prior == "convolution" else flow(normalisation),
        operator=None if observed == "itself" else operator,
        **F64,
    )
    state, *data = map(tf.constant, field)
    gradient, costs = CostGradient(cost, **F64)(state, *data)
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = cost(state, *data)
    np.testing.assert_allclose(costs, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, tape.gradient(expected, state), rtol=1e-9, atol=1e-12)


def test_places_of_a_pointwise_prior_are_windows_of_their_own(field):
    normalisation = Normalisation(**F64)
    normalisation.adapt(field[0])
    gradient = CostGradient(VariationalCost(flow(normalisation), **F64), **F64)
    ones = np.ones_like(field[0])
    together, costs = gradient(field[0], field[1], ones)

    def apart(values):
        return np.moveaxis(values, 1, 3).reshape(-1, 6, 3)

    alone, of_places = gradient(*map(apart, (field[0], field[1], ones)))
    np.testing.assert_allclose(apart(together) * 20, alone, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(costs, np.reshape(of_places, (2, 20)).mean(1))


@pytest.mark.long
@pytest.mark.parametrize("cell", [LSTMCell, ConvCell])
@pytest.mark.parametrize("loop", [{}, {"recompute": True}, {"unroll": True}])
def test_a_solver_is_trained_on_fields(cell, loop, field):
    update = cell(boundary=("reflected", "periodic"))
    solver = GradientSolver(update, iterations=3, **loop)
    cost_gradient = CostGradient(VariationalCost(neighbours()))
    solve = partial(solver, cost_gradient=cost_gradient)
    state, observations, mask = (tf.constant(each, tf.float32) for each in field)
    first_guess = LinearInterpolation()(observations, mask)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(solve(first_guess, observations, mask) - state))
        return loss, tape.gradient(loss, learned)

    solve(first_guess, observations, mask)
    learned = [*solver.trainable_variables, *cost_gradient.trainable_variables]
    loss, gradients = step()
    assert all(np.isfinite(each).all() for each in gradients)
    assert any(np.abs(each).max() > 0 for each in gradients)
    for variable, each in zip(learned, gradients, strict=True):
        variable.assign_sub(0.01 * each)
    assert step()[0] < loss


def test_a_normalisation_has_the_mean_and_deviation_of_each_variable(field):
    normalisation = Normalisation(**F64)
    normalisation.adapt(np.where(field[2] > 0, field[0], np.nan))
    for variable in range(3):
        seen = field[0][..., variable][field[2][..., variable] > 0]
        np.testing.assert_allclose(normalisation.mean[variable], seen.mean(), rtol=1e-6)
        np.testing.assert_allclose(normalisation.std[variable], seen.std(), rtol=1e-6)
    np.testing.assert_allclose(normalisation.inverse(normalisation(field[0])), field[0], rtol=1e-9)


def test_places_are_interpolated_each_by_itself(field):
    guess = LinearInterpolation(**F64)
    together = guess(*field[1:]).numpy()
    alone = guess(field[1][:, :, 1, 2], field[2][:, :, 1, 2])
    np.testing.assert_array_equal(together[:, :, 1, 2], alone)
