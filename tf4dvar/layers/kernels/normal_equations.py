"""Least squares of unknowns in a row, each tied to the next."""

import tensorflow as tf

# Share of the mean eigenvalue, for directions that next to nothing depends on.
DAMPING = 1e-9


def normal_equations(*terms):
    """A and b of A d = b, at which the sum of weighted squares |r - J d|^2 is least.

    In double precision, as squares have half of the digits.

    Args:
        *terms: J, [batch, time, entry, variable]; weights and r, [batch, time, entry].

    Returns:
        [batch, variable, variable] and [batch, variable, 1].
    """
    parts = []
    for matrix, weights, target in terms:
        beside = tf.concat([matrix, tf.expand_dims(target, axis=-1)], axis=-1)
        weighted = tf.expand_dims(weights, axis=-1) * matrix
        rows, columns = (
            tf.reshape(tf.cast(each, tf.float64), (tf.shape(each)[0], -1, each.shape[-1]))
            for each in (weighted, beside)
        )
        parts.append(tf.matmul(rows, columns, transpose_a=True))
    size = terms[0][0].shape[-1]
    matrix, right = tf.split(tf.add_n(parts), (size, 1), axis=-1)
    mean = tf.linalg.trace(matrix) / size
    unit = tf.eye(size, dtype=tf.float64)
    return matrix + DAMPING * mean[:, tf.newaxis, tf.newaxis] * unit, right


def tied(diagonal, right, onward, arrived, tie):
    """The least squares of several unknowns d_s in a row with the squares of jumps between them.

        sum_s [d_s^T A_s d_s - 2 b_s^T d_s] + p sum_s |d_{s+1} - M_s d_s - c_s|^2

    Args:
        diagonal, right: A and b of `normal_equations`, [batch, row, n, n] and [batch, row, n, 1].
        onward: M, shaped as A; what there is of the last one counts for nothing, as of c.
        arrived: c, shaped as b.
        tie: p, a number.

    Returns:
        d, shaped as b.
    """
    onward, arrived, tie = (tf.cast(each, tf.float64) for each in (onward, arrived, tie))
    row = tf.range(tf.shape(right)[1])[:, tf.newaxis, tf.newaxis]
    one = tf.ones_like(right[0, :, :1, :1])
    to_next = tie * tf.where(row < tf.shape(right)[1] - 1, one, 0.0)
    from_last = tie * tf.where(row > 0, one, 0.0)
    weighted = to_next * onward
    diagonal += tf.matmul(onward, weighted, transpose_a=True)
    diagonal += from_last * tf.eye(right.shape[2], dtype=tf.float64)
    right -= tf.matmul(weighted, arrived, transpose_a=True)
    right += from_last * tf.roll(arrived, 1, axis=1)
    return chain_solution(diagonal, -weighted, right)


@tf.custom_gradient
def chain_solution(diagonal, lower, right):
    """x of A x = b, A symmetric and positive definite, its blocks coupled to their neighbours.

    By elimination from the first to the last and back (Thomas); the gradient is the solution of
    other right-hand sides.

    Args:
        diagonal: A_ss, [batch, block, n, n].
        lower: A_{s+1,s}, the same shape; the last counts for nothing.
        right: b, [batch, block, n, 1].

    Returns:
        x, shaped as b.
    """
    solution = _eliminated(diagonal, lower, right)

    def gradient(upstream):
        other = _eliminated(diagonal, lower, upstream)

        def later(vectors):
            return tf.concat([vectors[:, 1:], tf.zeros_like(vectors[:, :1])], axis=1)

        of_diagonal = -tf.matmul(other, solution, transpose_b=True)
        of_lower = -tf.matmul(later(other), solution, transpose_b=True)
        of_lower -= tf.matmul(later(solution), other, transpose_b=True)
        return of_diagonal, of_lower, other

    return solution, gradient


def _eliminated(diagonal, lower, right):
    blocks, size = tf.shape(right)[1], right.shape[2]
    shape = tf.TensorShape((right.shape[0], size, size + 1))
    upper = tf.linalg.matrix_transpose(lower)

    def forward(block, before, reduced):
        """A_ss, less what is known by the blocks before, times what is right of it."""
        coupling = tf.gather(lower, tf.maximum(block - 1, 0), axis=1)
        taken = tf.matmul(coupling, before)
        of_next, of_right = tf.split(taken, (size, 1), axis=-1)
        inverse = tf.linalg.inv(tf.gather(diagonal, block, axis=1) - of_next)
        beside = [tf.gather(upper, block, axis=1), tf.gather(right, block, axis=1) - of_right]
        now = tf.matmul(inverse, tf.concat(beside, axis=-1))
        return block + 1, now, reduced.write(block, now)

    def backward(number, after, solution):
        of_next, own = tf.split(tf.gather(reduced, blocks - 1 - number), (size, 1), axis=-1)
        now = own - tf.matmul(of_next, after)
        return number + 1, now, solution.write(number, now)

    none = tf.zeros_like(right[:, 0])
    before = tf.concat([tf.zeros_like(diagonal[:, 0]), none], axis=-1)
    # Both write one after the other, as loops of ONNX do.
    reduced = tf.TensorArray(right.dtype, blocks, element_shape=shape)
    *_, reduced = tf.while_loop(lambda block, *_: block < blocks, forward, (0, before, reduced))
    reduced = reduced.stack()
    solution = tf.TensorArray(right.dtype, blocks, element_shape=none.shape)
    *_, solution = tf.while_loop(lambda number, *_: number < blocks, backward, (0, none, solution))
    from_last = tf.transpose(solution.stack(), (1, 0, 2, 3))
    return tf.gather(from_last, blocks - 1 - tf.range(blocks), axis=1)
