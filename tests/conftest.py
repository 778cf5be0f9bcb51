import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import settings
from tensorflow.python.framework import config, ops

from tf4dvar.classical.fields import covariance_fit
from tf4dvar.data import protocol_plan, simulate_dataset
from tf4dvar.systems import Lorenz63

# TensorFlow's graph optimiser takes a third of the time of a small model's training. What runs in
# a process of its own, as commands, examples and notebooks do, runs with it.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

# The same few cases in every run; `--hypothesis-profile torture` looks at many others.
settings.register_profile("suite", max_examples=5, derandomize=True, deadline=None)
settings.register_profile("torture", max_examples=300, deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def windows():
    """Forty windows of Lorenz-63, protocol C."""
    return simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 40, seed=5)


@pytest.fixture(autouse=True)
def seed():
    """Every test draws the same initial weights, alone or among others."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module", autouse=True)
def determinism():
    """A command called in this process asks for it, and XLA, which others test, would stay off."""
    yield
    config.disable_op_determinism()  # TensorFlow has no public way back.


@pytest.fixture(scope="module", autouse=True)
def forgotten_graphs():
    """TensorFlow keeps a graph with a gradient of its own for ever: the tests' were 5 GB."""
    yield
    gradients = ops.gradient_registry._registry
    for name in [name for name in gradients if name.startswith("CustomGradient-")]:
        del gradients[name]
    gc.collect()


@pytest.fixture
def quick_fit(monkeypatch):
    """Kernels are fitted to a third of the blocks: near enough where no number is looked at."""
    for name in "FEW_BLOCKS", "BLOCKS", "BLOCKS_OF_SCALE":
        monkeypatch.setattr(covariance_fit, name, getattr(covariance_fit, name) // 3)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def graph_optimiser():
    """TensorFlow's, for what is compared bit for bit with another process, or is about it."""
    options = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    yield
    tf.config.optimizer.set_experimental_options(options)
