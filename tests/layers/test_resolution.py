import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers.kernels.resolution import (
    coarsened,
    coarsened_transposed,
    refined,
    refined_transposed,
)


@pytest.mark.parametrize("space", [(), (6,), (4, 6), (4, 2, 6)])
def test_coarse_values_are_means_of_two_along_every_axis(space, rng):
    values = rng.normal(size=(2, 3, *space, 2))
    expected = values
    for axis in range(2, 2 + len(space)):
        pairs = [np.take(expected, range(k, expected.shape[axis], 2), axis) for k in (0, 1)]
        expected = np.mean(pairs, axis=0)
    np.testing.assert_allclose(coarsened(values), expected, rtol=1e-12)


def test_a_last_value_without_a_neighbour_stays(rng):
    values = rng.normal(size=(1, 2, 5, 1))
    np.testing.assert_array_equal(coarsened(values)[:, :, 2], values[:, :, 4])
    assert refined(coarsened(values), ("zero",), like=values).shape == values.shape


@pytest.mark.parametrize("boundary", ["zero", "periodic", "reflected"])
def test_lines_are_interpolated_exactly_within(boundary):
    y, x = np.meshgrid(np.arange(8.0), np.arange(12.0), indexing="ij")
    plane = (1 + 2 * y - 3 * x)[np.newaxis, np.newaxis, ..., np.newaxis]
    again = refined(coarsened(plane), (boundary, boundary), like=plane).numpy()
    np.testing.assert_allclose(again[:, :, 1:-1, 1:-1], plane[:, :, 1:-1, 1:-1], rtol=1e-12)


def test_around_a_circle_there_is_no_seam(rng):
    values = rng.normal(size=(1, 2, 4, 6, 2))
    fine = refined(values, ("periodic", "periodic"), like=np.zeros((1, 2, 8, 12, 2)))
    turned = refined(np.roll(values, 1, 3), ("periodic", "periodic"), like=fine)
    np.testing.assert_allclose(turned, np.roll(fine, 2, 3), rtol=1e-12)
    np.testing.assert_allclose(tf.reduce_mean(fine), np.mean(values), rtol=1e-12)


def test_zeros_and_mirrored_values_lie_beyond_the_edges():
    values = np.array([4.0, 8.0]).reshape(1, 1, 2, 1)
    for boundary, expected in (("zero", [3, 5, 7, 6]), ("reflected", [5, 5, 7, 7])):
        fine = refined(values, (boundary,), like=np.zeros((1, 1, 4, 1)))
        np.testing.assert_allclose(np.ravel(fine), expected)


@pytest.mark.parametrize("boundary", ["zero", "periodic", "reflected"])
@pytest.mark.parametrize("space", [(6, 8), (5, 7), (9,)])
def test_transposes_are_those_of_the_maps(boundary, space, rng):
    fine = tf.constant(rng.normal(size=(2, 3, *space, 2)))
    coarse = coarsened(fine)
    other = tf.constant(rng.normal(size=coarse.shape))
    boundaries = (boundary,) * len(space)

    def product(first, second):
        return tf.reduce_sum(first * second).numpy()

    there = product(coarse, other)
    assert product(fine, coarsened_transposed(other, like=fine)) == pytest.approx(there)
    there = product(refined(other, boundaries, like=fine), fine)
    assert product(other, refined_transposed(fine, boundaries, like=other)) == pytest.approx(there)
