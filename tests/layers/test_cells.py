import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import ConvCell, FixedStepCell, LSTMCell

CELLS = [LSTMCell, ConvCell, lambda **kwargs: FixedStepCell(0.1, **kwargs)]


@pytest.fixture
def gradient(rng):
    return rng.normal(size=(4, 9, 3)).astype("float32")


@pytest.mark.parametrize("make", CELLS)
def test_contract_of_a_recurrent_cell(make, gradient):
    cell = make()
    cell.build(gradient.shape)
    states = cell.initial(tf.constant(gradient))
    kept = [state.shape for state in cell.initial(tf.constant(gradient))]
    assert [state.shape for state in states] == kept
    for _ in range(2):
        increment, states = cell(gradient, states)
        assert increment.shape == gradient.shape
        kept = [state.shape for state in cell.initial(tf.constant(gradient))]
        assert [state.shape for state in states] == kept


@pytest.mark.parametrize(
    ("cell", "parameters"),
    [(LSTMCell(), (3 + 15) * 3 * 60 + 60 + 45), (ConvCell(), 3 * 24 * (6 + 48 + 6) + 18)],
)
def test_paper_sizes(cell, parameters):
    cell.build((None, None, 3))
    assert cell.count_params() == parameters


def test_lstm_with_zero_weights_forgets_half_and_returns_nothing(gradient):
    cell = LSTMCell(units=2)
    cell.build(gradient.shape)
    for weight in cell.weights:
        weight.assign(np.zeros(weight.shape))
    ones = np.ones((4, 9, 2), "float32")
    increment, (hidden, memory) = cell(gradient, (ones, ones))
    np.testing.assert_array_equal(increment, 0)
    np.testing.assert_allclose(memory, 0.5)
    np.testing.assert_allclose(hidden, 0.5 * np.tanh(0.5), rtol=1e-6)


def test_conv_is_plain_descent_before_training_and_bounded_always(gradient):
    cell = ConvCell()
    cell.build(gradient.shape)
    increment, _ = cell(gradient * 1e-2, cell.initial(tf.constant(gradient)))
    np.testing.assert_allclose(increment, 0.1 * gradient * 1e-2, rtol=1e-3)
    increment, _ = cell(gradient * 1e6, cell.initial(tf.constant(gradient)))
    assert np.abs(increment).max() <= np.pi / 2 / 0.2 + 1e-5


def test_fixed_step_is_the_scaled_gradient(gradient):
    increment, _ = FixedStepCell(0.25)(gradient, ())
    np.testing.assert_array_equal(increment, 0.25 * gradient)
    with pytest.raises(ValueError, match="step_size=0"):
        FixedStepCell(0)


def test_layers(gradient, tmp_path):
    hidden = np.zeros((4, 9, 15), "float32")

    check_layer(LSTMCell(), gradient, (hidden, hidden), tmp_path=tmp_path)
    check_layer(ConvCell(), gradient, (gradient,), tmp_path=tmp_path)
