"""`tf.data` pipelines of (observations, truth) batches.

Both are endless, meant for `fit(..., steps_per_epoch=...)`. What an epoch holds follows from
the seed and the epoch's number alone, so that a resumed training sees the same batches as one
that was never interrupted.
"""

from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import tensorflow as tf

from tf4dvar.data.plan import ObservationPlan
from tf4dvar.systems import System, random_stream, sample_windows

Windows = tuple[np.ndarray, np.ndarray]


def fixed_windows(
    observations: np.ndarray,
    truth: np.ndarray,
    batch_size: int,
    seed: int = 0,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """The same windows every epoch, in a fresh order.

    Args:
        observations, truth: [window, time, component], physical units.
        batch_size: windows a batch; what does not fill a batch waits for another epoch's order.
        seed: of the order.
        first_epoch: number of the epoch to begin with.
    """

    def epoch_windows(epoch: int) -> Windows:
        order = random_stream("training order", seed, epoch).permutation(len(truth))
        return observations[order], truth[order]

    return _batches(epoch_windows, batch_size, first_epoch, truth.shape[1:])


def simulated_windows(
    system: System,
    plan: ObservationPlan,
    windows: int,
    steps: int,
    batch_size: int,
    seed: int = 0,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """Fresh windows with fresh noise every epoch, never the same twice.

    Args:
        system, plan: what is simulated and how it is observed.
        windows, steps: number of windows an epoch, and of times in each.
        batch_size: windows a batch.
        seed: of the simulation and the noise.
        first_epoch: number of the epoch to begin with.
    """

    def epoch_windows(epoch: int) -> Windows:
        truth = sample_windows(system, windows, steps, random_stream("training truth", seed, epoch))
        return plan.observe(truth, random_stream("training noise", seed, epoch)), truth

    return _batches(epoch_windows, batch_size, first_epoch, (steps, len(system.components)))


def _batches(
    epoch_windows: Callable[[int], Windows],
    batch_size: int,
    first_epoch: int,
    shape: tuple[int, ...],
) -> tf.data.Dataset:
    def generate() -> Iterator[Windows]:
        for epoch in count(first_epoch):
            observations, truth = epoch_windows(epoch)
            for start in range(0, len(truth) - batch_size + 1, batch_size):
                batch = slice(start, start + batch_size)
                yield observations[batch].astype("float32"), truth[batch].astype("float32")

    spec = tf.TensorSpec((batch_size, *shape), tf.float32)
    return tf.data.Dataset.from_generator(generate, output_signature=(spec, spec)).prefetch(2)
