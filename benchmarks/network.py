"""This package's network, as the benchmarks time it."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers import (
    GENN,
    BilinearAutoEncoder,
    ConvCell,
    GradientSolver,
    Lorenz63ODE,
    Lorenz96ODE,
    LSTMCell,
    RK4Flow,
)
from tf4dvar.models import FourDVarNet

PRIORS = {
    "genn": GENN,
    "rk4": lambda: RK4Flow(Lorenz63ODE(), 0.01),
    "lorenz96": lambda: RK4Flow(Lorenz96ODE(), 0.05),
}
CELLS = {"lstm": LSTMCell, "conv": ConvCell}
# An observed component, every eighth time; of maps a share of all points.
EVERY, SEEN = 8, 0.05


def use_threads(threads, within=1):
    """Before the first operation: so many threads between operations, and within each of them."""
    tf.config.threading.set_intra_op_parallelism_threads(within)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def make(prior, cell, iterations, batch=128, steps=200, components=3, recompute=False, pieces=1):
    """A training step and an inference, as functions without arguments."""
    keras.utils.set_random_seed(0)
    # Windows that a chaotic prior with nothing learned does not send to infinity.
    truth = np.random.default_rng(0).normal(size=(batch, steps, components)).astype("float32")
    observed = np.zeros(truth.shape, bool)
    observed[:, ::EVERY, 0] = True
    observations = tf.constant(np.where(observed, truth, np.nan))
    truth = tf.constant(truth)
    model = FourDVarNet(
        PRIORS[prior](),
        GradientSolver(CELLS[cell](), iterations, recompute=recompute, micro_batches=pieces),
    )
    return functions(model, observations, truth)


def make_of_maps(iterations=10, batch=4, points=64, days=15, recompute=False, half=False):
    """The same of the published network for maps, of `field_peer`.

    Args:
        iterations, batch, points, days: sizes; maps are squares.
        recompute: see `GradientSolver`.
        half: whether the update computes in bfloat16.
    """
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(batch, days, points, points, 1)).astype("float32")
    observations = np.where(rng.random(truth.shape) < SEEN, truth, np.nan)
    update = LSTMCell(48, segment=days, dtype="mixed_bfloat16" if half else None)
    model = FourDVarNet(
        BilinearAutoEncoder(32, segment=days),
        GradientSolver(update, iterations, recompute=recompute),
    )
    return functions(model, tf.constant(observations, "float32"), tf.constant(truth))


def functions(model, observations, truth):
    """A training step and an inference."""
    model.build(truth.shape)
    adam = keras.optimizers.Adam(1e-3)
    adam.build(model.trainable_variables)

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(observations) - truth))
        weights = model.trainable_variables
        adam.apply(tape.gradient(loss, weights), weights)
        return loss

    infer = tf.function(lambda: model(observations))
    return lambda: train().numpy(), lambda: infer().numpy()
