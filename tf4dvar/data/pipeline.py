"""`tf.data` pipelines of (observations, truth) batches.

Both are endless, meant for `fit(..., steps_per_epoch=...)`. What an epoch holds follows from
the seed and the epoch's number alone, so that a resumed training sees the same batches as one
that was never interrupted, and several workers the parts of those of one.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.systems import System, random_stream, sample_windows, windows_from
from tf4dvar.systems.drawn_plan import Plan

WHOLE = slice(None)


def fixed_windows(
    inputs: Any,
    truth: np.ndarray,
    batch_size: int,
    seed: int = 0,
    first_epoch: int = 0,
    part: slice = WHOLE,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """The same windows every epoch, in a fresh order.

    Args:
        inputs, truth: [window, time, component], physical units; inputs may be a dict of such.
        batch_size: windows a batch; what does not fill a batch waits for another epoch's order.
        seed: of the order.
        first_epoch: number of the epoch to begin with.
        part: of every batch, this worker's.
        weights: of windows, by which their squares count; [window].
    """

    def epoch_windows(epoch: int) -> Any:
        order = random_stream("training order", seed, epoch).permutation(len(truth))
        return tf.nest.map_structure(lambda each: each[order], given)

    given = weighted(inputs, truth, weights)
    shapes = tf.nest.map_structure(lambda each: each.shape[1:], given)
    return batches_of(epoch_windows, len(truth), batch_size, first_epoch, part, shapes)


def simulated_windows(
    system: System,
    plan: Plan,
    windows: int,
    steps: int,
    batch_size: int,
    seed: int = 0,
    first_epoch: int = 0,
    part: slice = WHOLE,
) -> tf.data.Dataset:
    """Fresh windows with fresh noise every epoch, never the same twice.

    Args:
        system, plan: what is simulated and how it is observed.
        windows, steps: number of windows an epoch, and of times in each.
        batch_size: windows a batch.
        seed: of the simulation and the noise.
        first_epoch: number of the epoch to begin with.
        part: of every batch, this worker's; the others are not simulated.
    """
    mine = _batch_rows(windows, batch_size, part).ravel()

    def simulate(system, initial, steps, integrator):
        truth = np.zeros((len(initial), steps, initial.shape[1]))
        truth[mine] = windows_from(system, initial[mine], steps, integrator)
        return truth

    def epoch_windows(epoch: int) -> Any:
        rng = random_stream("training truth", seed, epoch)
        truth = sample_windows(system, windows, steps, rng, simulate=simulate)
        return observed(truth, random_stream("training noise", seed, epoch))

    def observed(truth: np.ndarray, rng: np.random.Generator) -> tuple[Any, ...]:
        inputs = plan.inputs(truth, rng)
        return weighted(inputs, truth, plan.weights(inputs))

    shape = (steps, len(system.components))
    one = observed(np.zeros((1, *shape)), np.random.default_rng())
    shapes = tf.nest.map_structure(lambda each: each.shape[1:], one)
    return batches_of(epoch_windows, windows, batch_size, first_epoch, part, shapes)


def weighted(inputs: Any, truth: np.ndarray, weights: np.ndarray | None) -> tuple[Any, ...]:
    """What `fit` takes of windows.

    Args:
        inputs, truth, weights: as of `fixed_windows`.
    """
    return (inputs, truth) if weights is None else (inputs, truth, weights)


def _batch_rows(windows: int, batch_size: int, part: slice) -> np.ndarray:
    """Numbers of the windows of each batch, or of a part of it, [batch, window]."""
    whole = windows - windows % batch_size
    return np.arange(whole).reshape(-1, batch_size)[:, part]


def batches_of(
    pass_windows: Callable[[int], Any],
    windows: int,
    batch_size: int,
    first_pass: int,
    part: slice,
    shapes: Any,
    ahead: int = 2,
) -> tf.data.Dataset:
    """Endless batches of arrays in single precision, drawn for each pass over the windows.

    Args:
        pass_windows: gives for the number of a pass what `fit` takes: a tuple of arrays whose
            first axis is the window, and of dicts of such.
        windows: number of them in a pass.
        batch_size: windows a batch; what does not fill a batch is left out.
        first_pass: number of the pass to begin with.
        part: of every batch, this worker's.
        shapes: of one window, in the same structure.
        ahead: batches that are made before they are asked for.
    """
    batches = _batch_rows(windows, batch_size, part)

    def generate() -> Iterator[Any]:
        for number in count(first_pass):
            drawn = pass_windows(number)
            for rows in batches:
                yield tf.nest.map_structure(lambda each, rows=rows: _single(each[rows]), drawn)

    def spec(shape):
        return tf.TensorSpec((batches.shape[1], *shape), tf.float32)

    specs = keras.tree.map_shape_structure(spec, shapes)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=specs)
    dataset = dataset.prefetch(ahead) if ahead else dataset
    options = tf.data.Options()
    # There is nothing to tune, and a training that followed one which had failed was seen to wait
    # for ever for the tuning thread of the former's pipeline.
    options.autotune.enabled = False
    return dataset.with_options(options)


def _single(values):
    return values.astype("float32")
