"""How long the convolutions of the published network for maps take when they run alone.

    python convolutions.py THREADS

An iteration has those of the update once and those of the prior twice, there and turned round for
the adjoint; training does two more for each, one back to its input and one to its kernel.
"""

import json
import statistics
import sys
import time

BATCH, POINTS, WIDTH = 4, 64, 3
# How often in an iteration, on which share of the points along an axis, from how many channels to
# how many.
CONVOLUTIONS = (
    (1, 1, 63, 192),
    (1, 1, 48, 15),
    (2, 2, 15, 32),
    (2, 2, 32, 32),
    (2, 2, 32, 96),
    (2, 2, 64, 15),
)


def measure(threads, repeats=10):
    """Seconds of an iteration's inference and of its training, and GFLOP/s of the latter."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def seconds(call, *tensors):
        @tf.function
        def repeated():
            # The loop keeps equal calls from being merged into one.
            again = lambda k, _: (k + 1, call(*tensors))  # noqa: E731
            return tf.while_loop(lambda k, _: k < repeats, again, (0, call(*tensors)))[1]

        repeated()
        took = []
        for _ in range(5):
            started = time.perf_counter()
            repeated().numpy()
            took.append((time.perf_counter() - started) / (repeats + 1))
        return statistics.median(took)

    def there(values, kernel):
        return tf.nn.conv2d(values, kernel, 1, "SAME")

    inference = training = operations = 0.0
    for times, part, channels, filters in CONVOLUTIONS:
        points = POINTS // part
        values = tf.random.normal((BATCH, points, points, channels))
        kernel = tf.random.normal((WIDTH, WIDTH, channels, filters))
        gradient = tf.random.normal((BATCH, points, points, filters))
        settings = {"strides": [1, 1, 1, 1], "padding": "SAME", "out_backprop": gradient}

        def to_input(kernel, shape=values.shape, settings=settings):
            return tf.raw_ops.Conv2DBackpropInput(input_sizes=shape, filter=kernel, **settings)

        def to_kernel(values, shape=kernel.shape, settings=settings):
            return tf.raw_ops.Conv2DBackpropFilter(input=values, filter_sizes=shape, **settings)

        forward = seconds(there, values, kernel)
        inference += times * forward
        training += times * (forward + seconds(to_input, kernel) + seconds(to_kernel, values))
        operations += 6 * times * BATCH * (points * WIDTH) ** 2 * channels * filters
    return {"infer_s": inference, "train_s": training, "gflops": operations / training / 1e9}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
