from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import ConvCell, FixedStepCell, LSTMCell

CONVOLUTIONAL = pytest.mark.parametrize("cell", [LSTMCell, ConvCell])
# A few variables, a circle of components, a field of two variables; times as channels.
KINDS = pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((9, 3), {}),
        ((9, 8), {"circle": True}),
        ((9, 5, 6, 2), {"boundary": "reflected"}),
        ((9, 8), {"circle": True, "segment": 4}),
        ((9, 5, 6, 2), {"boundary": "reflected", "segment": 9}),
    ],
    ids=["variables", "circle", "field", "segments of a circle", "a field's times as channels"],
)


def gradient_of(shape, rng):
    return rng.normal(size=(4, *shape)).astype("float32")


@KINDS
@pytest.mark.parametrize("cell", [LSTMCell, ConvCell, lambda **_: FixedStepCell(0.1)])
def test_contract_of_a_recurrent_cell(cell, shape, kind, rng):
    gradient, cell = gradient_of(shape, rng), cell(**kind)
    cell.build(gradient.shape)
    kept = [state.shape for state in cell.initial(tf.constant(gradient))]
    states = cell.initial(tf.constant(gradient))
    for _ in range(2):
        increment, states = cell(gradient, states)
        assert increment.shape == gradient.shape
        assert [state.shape for state in states] == kept


@pytest.mark.parametrize(
    ("cell", "components", "parameters"),
    [
        (LSTMCell(), 3, (3 + 15) * 3 * 60 + 60 + 45),
        (ConvCell(), 3, 5 * 18 * (6 + 36 + 6) + 18),
        (LSTMCell(units=5, circle=True), 40, 9 * (1 + 5) * 20 + 20 + 5),
        (ConvCell((8, 16), 3, circle=True), 40, 9 * (2 * 8 + 8 * 16 + 16) + 2),
    ],
)
def test_paper_sizes(cell, components, parameters):
    cell.build((None, None, components))
    assert cell.count_params() == parameters


@CONVOLUTIONAL
@pytest.mark.parametrize(
    ("shape", "kind", "axis"),
    [
        ((9, 8), {"circle": True}, 2),
        ((9, 5, 6, 2), {"boundary": "periodic"}, 3),
        ((9, 5, 6, 2), {"boundary": "periodic", "segment": 9}, 3),
    ],
)
def test_turning_the_circle_turns_the_increment(cell, shape, kind, axis, rng):
    gradient, cell = gradient_of(shape, rng), cell(**kind)
    cell.build(gradient.shape)

    def second_increment(gradient):
        _, states = cell(gradient, cell.initial(tf.constant(gradient)))
        return cell(gradient, states)[0]

    turned = second_increment(np.roll(gradient, 3, axis))
    np.testing.assert_allclose(turned, np.roll(second_increment(gradient), 3, axis), atol=1e-6)


@CONVOLUTIONAL
def test_times_of_a_segment_are_variables_of_one_time(cell, rng):
    gradient = gradient_of((3, 5, 6, 2), rng)
    # The variables side by side, the times of each together; its kernel sees zeros in time.
    as_variables = np.transpose(gradient, (0, 2, 3, 4, 1)).reshape(4, 1, 5, 6, 6)
    segments, plain = cell(segment=3), cell()
    segments.build(gradient.shape)
    plain.build(as_variables.shape)
    for theirs, ours in zip(segments.weights, plain.weights, strict=True):
        middle = ours.numpy()
        if middle.ndim > 1:
            middle[len(middle) // 2] = theirs[0]
        ours.assign(middle if middle.ndim > 1 else theirs)
    increment, _ = segments(gradient, segments.initial(tf.constant(gradient)))
    expected, _ = plain(as_variables, plain.initial(tf.constant(as_variables)))
    expected = np.transpose(np.reshape(expected, (4, 5, 6, 2, 3)), (0, 4, 1, 2, 3))
    np.testing.assert_allclose(increment, expected, rtol=1e-4, atol=1e-5)


@CONVOLUTIONAL
def test_a_circle_is_a_periodic_field_of_one_variable(cell, rng):
    gradient = gradient_of((9, 8), rng)
    circle, field = cell(circle=True), cell(boundary="periodic")
    for layer, shape in ((circle, gradient.shape), (field, (*gradient.shape, 1))):
        layer.build(shape)
    for ours, theirs in zip(field.weights, circle.weights, strict=True):
        ours.assign(theirs)
    increment, _ = circle(gradient, circle.initial(tf.constant(gradient)))
    as_field, _ = field(gradient[..., None], field.initial(tf.constant(gradient[..., None])))
    np.testing.assert_array_equal(increment, as_field[..., 0])


def test_lstm_with_zero_weights_forgets_half_and_returns_nothing(rng):
    gradient, cell = gradient_of((9, 3), rng), LSTMCell(units=2)
    cell.build(gradient.shape)
    for weight in cell.weights:
        weight.assign(np.zeros(weight.shape))
    ones = np.ones((4, 9, 2), "float32")
    increment, (hidden, memory) = cell(gradient, (ones, ones))
    np.testing.assert_array_equal(increment, 0)
    np.testing.assert_allclose(memory, 0.5)
    np.testing.assert_allclose(hidden, 0.5 * np.tanh(0.5), rtol=1e-6)


@KINDS
def test_conv_is_plain_descent_before_training_and_bounded_always(shape, kind, rng):
    gradient, cell = gradient_of(shape, rng), ConvCell(first_step=0.03, **kind)
    cell.build(gradient.shape)
    initial = cell.initial(tf.constant(gradient))
    axes = tuple(range(1, gradient.ndim))
    of_size_one = gradient / np.sqrt(np.square(gradient).mean(axis=axes, keepdims=True))
    expected = np.arctan(0.2 * 0.03 * of_size_one) / 0.2
    for size in (1e-2, 1.0, 1e6):
        increment, _ = cell(gradient * np.float32(size), initial)
        np.testing.assert_allclose(increment, expected, rtol=1e-4)
    cell.layers[-1].kernel.assign(1e6 * cell.layers[-1].kernel)
    increment, _ = cell(gradient, initial)
    assert np.abs(increment).max() <= np.pi / 2 / 0.2 + 1e-5


def test_conv_leaves_a_window_at_rest(rng):
    cell = ConvCell()
    cell.build((None, None, 3))
    gradient = np.zeros((2, 9, 3), "float32")
    gradient[1] = rng.normal(size=(9, 3))
    increment, _ = cell(gradient, cell.initial(tf.constant(gradient)))
    assert np.all(np.isfinite(increment))
    np.testing.assert_array_equal(increment[0], 0)
    assert np.abs(increment[1]).max() > 0


def test_fixed_step_is_the_scaled_gradient(rng):
    gradient = gradient_of((9, 3), rng)
    increment, _ = FixedStepCell(0.25)(gradient, ())
    np.testing.assert_array_equal(increment, 0.25 * gradient)
    with pytest.raises(ValueError, match="step_size=0"):
        FixedStepCell(0)


@KINDS
@pytest.mark.parametrize("cell", [partial(LSTMCell, units=5), ConvCell])
def test_layers(cell, shape, kind, rng, tmp_path):
    gradient, cell = gradient_of(shape, rng), cell(**kind)
    memory = tuple(each.numpy() for each in cell.initial(tf.constant(gradient)))
    check_layer(cell, gradient, memory, tmp_path=tmp_path)


@CONVOLUTIONAL
def test_what_fits_no_circle_or_has_no_centre_is_refused_when_it_is_made(cell):
    with pytest.raises(ValueError, match="circle=True and boundary='reflected'; a circle is"):
        cell(circle=True, boundary="reflected")
    with pytest.raises(ValueError, match="boundary='round'; expected one of"):
        cell(boundary="round")
    with pytest.raises(ValueError, match="kernel_size=4; expected an odd number"):
        cell(kernel_size=4)
    with pytest.raises(ValueError, match=r"\(2, 9, 5, 6, 2\); it takes no axes of space"):
        cell(circle=True).build((2, 9, 5, 6, 2))
