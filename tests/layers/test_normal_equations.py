"""Least squares of unknowns in a row, beside NumPy's."""

import numpy as np
import tensorflow as tf

from tf4dvar.layers.kernels.normal_equations import chain_solution, normal_equations, tied

WINDOWS, ROWS, SIZE = 4, 5, 3


def chain(rng):
    """Blocks of positive definite matrices, and the matrices in full."""
    factors = rng.normal(size=(WINDOWS, ROWS, SIZE, 2 * SIZE))
    diagonal = factors @ factors.swapaxes(-1, -2) + 2 * SIZE * np.eye(SIZE)
    lower = rng.normal(size=diagonal.shape)
    full = np.zeros((WINDOWS, ROWS, SIZE, ROWS, SIZE))
    for row in range(ROWS):
        full[:, row, :, row] = diagonal[:, row]
        if row < ROWS - 1:
            full[:, row + 1, :, row] = lower[:, row]
            full[:, row, :, row + 1] = lower[:, row].swapaxes(-1, -2)
    return diagonal, lower, full.reshape(WINDOWS, ROWS * SIZE, -1)


def test_normal_equations_have_the_solution_of_the_least_squares(rng):
    matrix, target = rng.normal(size=(4, 7, 5, 3)), rng.normal(size=(4, 7, 5))
    weights = rng.uniform(0.1, 10.0, (4, 7, 5))
    found = tf.linalg.solve(
        *normal_equations((matrix, weights, target), (matrix[:, :2], weights[:, :2], target[:, :2]))
    )
    for window in range(4):
        scaled = [np.sqrt(weights[window])[..., None] * matrix[window]]
        scaled = np.concatenate([scaled[0], scaled[0][:2]]).reshape(-1, 3)
        right = np.sqrt(weights[window]) * target[window]
        right = np.concatenate([right, right[:2]]).ravel()
        expected = np.linalg.lstsq(scaled, right, rcond=None)[0]
        np.testing.assert_allclose(found[window, :, 0], expected, rtol=1e-6)


def test_a_chain_is_solved_as_the_whole_matrix(rng):
    diagonal, lower, full = chain(rng)
    right = rng.normal(size=(WINDOWS, ROWS, SIZE, 1))
    found = chain_solution(*map(tf.constant, (diagonal, lower, right)))
    expected = np.linalg.solve(full, right.reshape(WINDOWS, -1, 1))
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, rtol=1e-9)


def test_its_gradient_is_that_of_the_whole_matrix(rng):
    diagonal, lower, _ = chain(rng)
    right, slope = rng.normal(size=(2, WINDOWS, ROWS, SIZE, 1))
    given = [tf.constant(each) for each in (diagonal, lower, right)]

    def value(*given):
        return tf.reduce_sum(slope * chain_solution(*given))

    with tf.GradientTape() as tape:
        tape.watch(given)
        result = value(*given)
    gradients = tape.gradient(result, given)
    for place, gradient in enumerate(gradients):
        direction = rng.normal(size=given[place].shape)
        if place == 0:  # of matrices that stay symmetric
            direction += direction.swapaxes(-1, -2)
        moved = [
            value(*given[:place], given[place] + sign * 1e-6 * direction, *given[place + 1 :])
            for sign in (1, -1)
        ]
        difference = (moved[0] - moved[1]) / 2e-6
        np.testing.assert_allclose(tf.reduce_sum(direction * gradient), difference, rtol=1e-6)


def test_ties_are_squares_of_jumps(rng):
    diagonal, _, _ = chain(rng)
    onward = rng.normal(size=diagonal.shape)
    right, arrived = rng.normal(size=(2, WINDOWS, ROWS, SIZE, 1))
    tie = 3.0
    found = tied(*map(tf.constant, (diagonal, right, onward, arrived)), tie)

    def cost(states):
        quadratic = states.swapaxes(-1, -2) @ (diagonal @ states - 2 * right)
        jumps = states[:, 1:] - onward[:, :-1] @ states[:, :-1] - arrived[:, :-1]
        return quadratic.sum() + tie * np.square(jumps).sum()

    least = cost(found.numpy())
    for _ in range(20):
        direction = rng.normal(size=right.shape)
        more, less = (cost(found.numpy() + sign * 1e-4 * direction) for sign in (1, -1))
        assert min(more, less) > least
        assert abs(more - less) < 1e-3 * (more + less - 2 * least)
