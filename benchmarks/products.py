"""The matrix products that the network consists of: their number, and how fast they can be.

A list of (rows per window and time, depth, width) stands for one iteration's products with the
state; a product of depth m and width n does 2 m n operations a row. The pull-back of the prior
repeats the products of the prior turned round, and training does two more for each, one back to
its input and one to its weights: three times the inference in all.

Only what the network needs is counted: the folded maps and the eleven taps of a kernel, not the
fifteen that the products over blocks of times do.
"""

import json
import statistics
import sys
import time

COMPONENTS, UNITS, TAPS, SCALE, LSTM_UNITS = 3, 30, 11, 4, 15


def block(filters, rows):
    """Forward products of a bilinear block."""
    wide = 2 * UNITS
    return [
        (rows, TAPS * COMPONENTS, wide),
        (rows, wide, UNITS),
        (rows, wide, UNITS),
        (rows, wide, filters),
        (rows, UNITS, filters),
    ]


def turned(products):
    """Those of the pull-back."""
    return [(rows, width, depth) for rows, depth, width in products]


GENN = block(COMPONENTS, 1) + block(COMPONENTS * SCALE, 1 / SCALE)
PRODUCTS = {
    "genn": GENN + turned(GENN),
    "lstm": [(1, 3 * (COMPONENTS + LSTM_UNITS), 4 * LSTM_UNITS), (1, LSTM_UNITS, COMPONENTS)],
    "conv": [
        (1, 3 * 2 * COMPONENTS, 8 * COMPONENTS),
        (1, 3 * 8 * COMPONENTS, 16 * COMPONENTS),
        (1, 3 * 16 * COMPONENTS, COMPONENTS),
        (1, COMPONENTS, COMPONENTS),
        (1, COMPONENTS, COMPONENTS),
    ],
}


def operations(names, rows, iterations):
    """Number of operations of an inference."""
    a_row = sum(2 * share * m * n for name in names for share, m, n in PRODUCTS[name])
    return iterations * rows * a_row


def measure(rows, threads, repeats=30):
    """GFLOP/s of a 1024^3 product, and seconds of the products alone, by network part.

    Returns:
        The first number; {part: (seconds of an iteration's inference, of its training)}.
    """
    import tensorflow as tf

    # One product at a time: several would each take a thread of their own.
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def seconds(a_shape, b_shape, turn=False):
        a, b = tf.random.normal(a_shape), tf.random.normal(b_shape)

        @tf.function
        def repeated():
            # The loop keeps equal products from being merged into one.
            multiply = lambda k, _: (k + 1, tf.matmul(a, b, transpose_a=turn))  # noqa: E731
            return tf.while_loop(lambda k, _: k < repeats, multiply, (0, tf.matmul(a, b, turn)))[1]

        repeated()
        took = []
        for _ in range(7):
            started = time.perf_counter()
            repeated().numpy()
            took.append(time.perf_counter() - started)
        return statistics.median(took) / repeats

    side = 1024
    peak = 2 * side**3 / seconds((side, side), (side, side)) / 1e9
    parts = {}
    for name, products in PRODUCTS.items():
        inference = training = 0.0
        for share, depth, width in products:
            count = int(share * rows)
            forward = seconds((count, depth), (depth, width))
            back = seconds((count, width), (width, depth))
            weights = seconds((count, depth), (count, width), turn=True)
            inference += forward
            training += forward + back + weights
        parts[name] = (inference, training)
    return peak, parts


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
