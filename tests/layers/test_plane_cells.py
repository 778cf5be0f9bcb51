import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import PlaneConvCell, PlaneLSTMCell


@pytest.fixture
def gradient(rng):
    return rng.normal(size=(3, 9, 8)).astype("float32")


@pytest.mark.parametrize("cell", [PlaneLSTMCell, PlaneConvCell])
def test_contract_of_a_recurrent_cell(cell, gradient):
    cell = cell()
    cell.build(gradient.shape)
    states = cell.initial(tf.constant(gradient))
    for _ in range(2):
        increment, states = cell(gradient, states)
        assert increment.shape == gradient.shape
        kept = [state.shape for state in cell.initial(tf.constant(gradient))]
        assert [state.shape for state in states] == kept


@pytest.mark.parametrize(
    ("cell", "parameters"),
    [
        (PlaneLSTMCell(), 9 * (1 + 5) * 20 + 20 + 5),
        (PlaneConvCell(), 9 * (2 * 8 + 8 * 16 + 16) + 2),
    ],
)
def test_paper_sizes(cell, parameters):
    cell.build((None, None, 40))
    assert cell.count_params() == parameters


@pytest.mark.parametrize("cell", [PlaneLSTMCell, PlaneConvCell])
def test_turning_the_circle_turns_the_increment(cell, gradient):
    cell = cell()
    cell.build(gradient.shape)

    def second_increment(gradient):
        _, states = cell(gradient, cell.initial(tf.constant(gradient)))
        return cell(gradient, states)[0]

    turned = second_increment(np.roll(gradient, 3, axis=-1))
    np.testing.assert_allclose(turned, np.roll(second_increment(gradient), 3, axis=-1), atol=1e-6)


def test_conv_is_plain_descent_before_training_and_bounded_always(gradient):
    cell = PlaneConvCell()
    cell.build(gradient.shape)
    start = cell.initial(tf.constant(gradient))
    increment, _ = cell(gradient * 1e-2, start)
    np.testing.assert_allclose(increment, 0.03 * gradient * 1e-2, rtol=1e-3)
    increment, _ = cell(gradient * 1e6, start)
    assert np.abs(increment).max() <= np.pi / 2 / 0.2 + 1e-5


def test_layers(gradient, tmp_path):
    hidden = np.zeros((*gradient.shape, 5), "float32")
    check_layer(PlaneLSTMCell(), gradient, (hidden, hidden), tmp_path=tmp_path)
    check_layer(PlaneConvCell(), gradient, (gradient,), tmp_path=tmp_path)
