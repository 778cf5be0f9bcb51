from itertools import product

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.layers import Convolution
from tf4dvar.layers.kernels.convolution import convolve, convolve_transposed

SPACES = [(), (8,), (5, 6), (4, 5, 3)]
MODES = {"zero": "constant", "periodic": "wrap", "reflected": "reflect"}
BOUNDARIES = [
    *(((size,), boundary) for size, boundary in product((8,), MODES)),
    *(((5, 6), boundary) for boundary in MODES),
    ((5, 6), ("reflected", "periodic")),
    ((5, 6), ("periodic", "zero")),
    ((4, 5, 3), ("zero", "periodic", "reflected")),
    ((), "zero"),
]


def by_sums(values, kernel, boundaries):
    """The convolution as its definition says, over every neighbour in time and space."""
    reach = kernel.shape[0] // 2
    for axis, boundary in enumerate(("zero", *boundaries), start=1):
        widths = [(0, 0)] * values.ndim
        widths[axis] = (reach, reach)
        padded = np.pad(values, widths, MODES[boundary])
        values = padded
    output = 0.0
    places = [size - 2 * reach for size in values.shape[1:-1]]
    for offsets in product(range(2 * reach + 1), repeat=len(places)):
        window = tuple(slice(o, o + size) for o, size in zip(offsets, places, strict=True))
        output = output + values[:, *window] @ kernel[offsets]
    return output


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(("space", "boundary"), BOUNDARIES)
def test_it_is_the_sum_over_the_neighbourhood(space, boundary, size, rng):
    values = rng.normal(size=(2, 7, *space, 3))
    layer = Convolution(2, size, boundary, use_bias=True, dtype="float64")
    layer.build((None, None, *space, 3))
    layer.bias.assign([0.5, -1.0])
    boundaries = (boundary,) * len(space) if isinstance(boundary, str) else boundary
    if space and min(space) <= size // 2:
        return
    expected = by_sums(values, layer.kernel.numpy(), boundaries) + layer.bias.numpy()
    np.testing.assert_allclose(layer(values), expected, atol=1e-12)


@pytest.mark.parametrize("widths", [(1, 3, 5), (5, 1, 3)])
def test_its_width_may_be_another_along_each_axis(widths, rng):
    values = rng.normal(size=(2, 7, 5, 6, 3))
    layer = Convolution(2, widths, ("reflected", "periodic"), dtype="float64")
    layer.build(values.shape)
    # Of equal widths, the others' weights zero.
    kernel = np.zeros((5, 5, 5, 3, 2))
    middle = (slice((5 - width) // 2, (5 + width) // 2) for width in widths)
    kernel[tuple(middle)] = layer.kernel
    np.testing.assert_allclose(
        layer(values), by_sums(values, kernel, ("reflected", "periodic")), atol=1e-12
    )
    with pytest.raises(ValueError, match="a width for time and for each axis of space"):
        Convolution(2, (1, 3))(values)


@pytest.mark.parametrize("space", SPACES)
def test_with_a_zero_centre_no_value_enters_its_own_output(space):
    layer = Convolution(1, 3, "periodic", zero_centre=True, dtype="float64")
    count = int(np.prod((3, *space)))
    matrix = np.reshape(layer(np.eye(count).reshape(count, 3, *space, 1)), (count, count))
    np.testing.assert_array_equal(np.diag(matrix), 0.0)
    assert np.abs(matrix).max() > 0.01


@pytest.mark.parametrize("space", SPACES[1:])
def test_turning_a_circle_turns_the_output(space, rng):
    values = rng.normal(size=(2, 7, *space, 3))
    layer = Convolution(4, 3, "periodic", dtype="float64")
    for axis in range(2, 2 + len(space)):
        turned = layer(np.roll(values, 2, axis))
        np.testing.assert_allclose(turned, np.roll(layer(values), 2, axis), atol=1e-12)


@pytest.mark.parametrize("space", SPACES)
def test_sizes_need_not_be_known_before(space, rng):
    layer = Convolution(4, 3, "reflected")
    values = rng.normal(size=(2, 7, *space, 3)).astype("float32")
    spec = tf.TensorSpec((None,) * (2 + len(space)) + (3,))
    output = tf.function(layer).get_concrete_function(spec)(values)
    np.testing.assert_allclose(output, layer(values), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_layer(space, rng, tmp_path):
    values = rng.normal(size=(2, 7, *space, 3)).astype("float32")
    layer = Convolution(4, 3, ["periodic"] * len(space), use_bias=True)
    (output,) = check_layer(layer, values, tmp_path=tmp_path)
    assert output.shape == (2, 7, *space, 4)


def test_what_has_no_centre_or_too_small_a_space_is_refused(rng):
    with pytest.raises(ValueError, match="kernel_size=1; expected an odd number of 3 or more"):
        Convolution(2, kernel_size=1, zero_centre=True)
    with pytest.raises(ValueError, match="kernel_size=4; expected an odd number"):
        Convolution(1, 4)
    values = rng.normal(size=(2, 7, 8, 3))
    with pytest.raises(
        ValueError, match="more than 8 values along one that is periodic or reflected"
    ):
        Convolution(1, 17, "reflected")(values)


def test_a_boundary_that_is_none_or_of_other_axes_is_refused(rng):
    with pytest.raises(ValueError, match="boundary='circle'; expected one of"):
        Convolution(1, boundary="circle")
    with pytest.raises(ValueError, match=r"boundary=\('zero', None\); expected one of"):
        Convolution(1, boundary=("zero", None))
    with pytest.raises(ValueError, match="a boundary for each axis of space"):
        Convolution(1, boundary=("zero", "periodic"))(rng.normal(size=(2, 7, 8, 3)))


@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize(("space", "widths"), [((), (5,)), ((6,), (3, 5)), ((5, 6), (3, 3, 5))])
def test_its_transpose_is_that_of_the_map(boundary, space, widths, rng):
    values = tf.constant(rng.normal(size=(2, 7, *space, 2)))
    gradient = tf.constant(rng.normal(size=(2, 7, *space, 3)))
    kernel = tf.constant(rng.normal(size=(*widths, 2, 3)))
    boundaries = (boundary,) * len(space)
    there = tf.reduce_sum(convolve(values, kernel, boundaries) * gradient)
    back = convolve_transposed(gradient, kernel, boundaries)
    np.testing.assert_allclose(tf.reduce_sum(values * back), there, rtol=1e-10)
