import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import CostGradient, GradientSolver, PeriodicGENN, SegmentCell, VariationalCost


@pytest.fixture
def gradient(rng):
    return rng.normal(size=(3, 9, 6)).astype("float32")


def moving(**settings):
    """A cell of which the last map is no longer zero."""
    cell = SegmentCell(**settings)
    cell.build((None, None, 6))
    cell.leave.kernel.assign(keras.random.normal(cell.leave.kernel.shape, seed=1))
    return cell


def test_layers(gradient, tmp_path):
    cell = SegmentCell(segment=4, width=8)
    states = tuple(state.numpy() for state in cell.initial(tf.constant(gradient)))
    outputs = check_layer(cell, gradient, states, tmp_path=tmp_path)
    assert [output.shape for output in outputs] == [(3, 9, 6), (3, 9, 6), (3, 3, 6, 8)]


def test_before_training_the_first_guess_stays(gradient):
    increment, _ = SegmentCell(width=8)(gradient, (gradient, np.zeros((3, 3, 6, 8), "float32")))
    np.testing.assert_array_equal(increment, np.zeros_like(gradient))


def test_it_remembers_the_state_that_the_solver_reaches(gradient):
    cell = moving(width=8)
    states = cell.initial(tf.constant(gradient))
    for _ in range(2):
        before, _ = states
        increment, states = cell(gradient, states)
        np.testing.assert_allclose(states[0], before - increment)


def test_the_state_matters_beside_the_gradient(gradient):
    cell = moving(width=8)
    _, memory = cell.initial(tf.constant(gradient))
    one, _ = cell(gradient, (gradient, memory))
    other, _ = cell(gradient, (gradient + 1.0, memory))
    assert not np.allclose(one, other)


def test_turning_the_circle_turns_the_increment(gradient):
    cell = moving(width=8)

    def increment(values):
        return cell(values, cell.initial(tf.constant(values)))[0].numpy()

    turned = increment(np.roll(gradient, 2, axis=-1))
    np.testing.assert_allclose(turned, np.roll(increment(gradient), 2, axis=-1), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_a_solver_takes_it_for_any_window_length(steps, rng):
    prior = PeriodicGENN(units=2, kernel_size=3)
    solver = GradientSolver(moving(width=8), iterations=3)
    gradient = CostGradient(VariationalCost(prior))
    values = rng.normal(size=(2, steps, 6)).astype("float32")
    state = solver(values, values, np.ones_like(values), cost_gradient=gradient)
    assert state.shape == values.shape
    assert np.isfinite(state).all()
    assert not np.allclose(state, values)
