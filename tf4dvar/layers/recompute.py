"""A loop that remembers its states alone and computes the rest again on the way back."""

from collections.abc import Callable

import tensorflow as tf


def recomputed_loop(iterate: Callable, start: tuple, iterations) -> tuple:
    """Repeat `iterate`, differentiable in the memory of one iteration and all loop variables.

    An ordinary loop keeps every intermediate result of every iteration until the gradient has
    used it. This one keeps the loop variables, and in the backward pass repeats each iteration
    once more: the gradient is the same, the memory next to constant in the number of iterations.
    The gradient cannot be differentiated again.

    Args:
        iterate: `(k, *variables) -> variables`, k counted from 0.
        start: the first variables, a nest of tensors of which shapes and dtypes stay.
        iterations: a scalar integer tensor.

    Returns:
        The last variables.
    """
    iterations = tf.convert_to_tensor(iterations)

    def step(k, values):
        return tf.nest.flatten(iterate(k, *tf.nest.pack_sequence_as(start, values)))

    @tf.custom_gradient
    def run(*first):
        def forward(k, values, history):
            history = [array.write(k, value) for array, value in zip(history, values, strict=True)]
            return k + 1, step(k, values), history

        history = [tf.TensorArray(v.dtype, iterations, element_shape=v.shape) for v in first]
        _, last, history = tf.while_loop(
            lambda k, *_: k < iterations, forward, (0, list(first), history)
        )

        def backward(*upstream, variables=()):
            def back(k, adjoints, gradients):
                values = [array.read(k) for array in history]
                with tf.GradientTape() as tape:
                    tape.watch(values)
                    results = step(k, values)
                found = tape.gradient(
                    results,
                    [*values, *variables],
                    adjoints,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                count = len(values)
                gradients = [a + b for a, b in zip(gradients, found[count:], strict=True)]
                return k - 1, found[:count], gradients

            _, adjoints, gradients = tf.while_loop(
                lambda k, *_: k >= 0,
                back,
                (iterations - 1, list(upstream), [tf.zeros_like(v) for v in variables]),
                # Else the next iterations are computed ahead, each in the memory of one.
                parallel_iterations=1,
            )
            return adjoints, gradients

        return last, backward

    return tf.nest.pack_sequence_as(start, run(*tf.nest.flatten(start)))
