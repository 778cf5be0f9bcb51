"""Built and compiled in a strategy's scope a model trains outside of it, as on one device."""

import os
import subprocess
import sys
import textwrap

import pytest

# Devices are divided before TensorFlow begins: in a process of its own.
PROGRAM = """
    from contextlib import nullcontext

    import keras
    import numpy as np
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, halves)

    from tf4dvar.layers import FixedStepCell, GradientSolver
    from tf4dvar.models import FourDVarNet

    rng = np.random.default_rng(0)
    truth = rng.normal(size=(16, 12, 3)).cumsum(axis=1)
    observations = np.where(rng.random(truth.shape) < 0.5, truth, np.nan)
    results = []
    for strategy in (None, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        keras.utils.set_random_seed(0)
        with strategy.scope() if strategy else nullcontext():
            prior = keras.Sequential([keras.layers.Dense(3, kernel_regularizer="l2")])
            model = FourDVarNet(prior, GradientSolver(FixedStepCell(0.1), 2))
            model.compile(keras.optimizers.SGD(0.1), metrics=["mae"])
        model.adapt(observations)
        data = (observations, truth)
        history = model.fit(*data, 8, 2, 0, shuffle=False, validation_data=data).history
        states = model.predict(observations, verbose=0)
        results.append([*history.values(), states, *model.get_weights()])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
"""


@pytest.mark.long
def test_two_devices_train_as_one():
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
