import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.classical import climatology
from tf4dvar.experiments import true_flow
from tf4dvar.layers import RK4Flow
from tf4dvar.systems import Lorenz63


class RollingODE(keras.layers.Layer):
    """Lorenz (1996): any number of components, coupled around a circle."""

    def call(self, state):
        ahead, behind, two_behind = (tf.roll(state, shift, axis=-1) for shift in (-1, 1, 2))
        return (ahead - two_behind) * behind - state + 8.0


class LinearODE(keras.layers.Layer):
    """A damped rotation."""

    MATRIX = np.array([[-0.1, 1.0, 0.0], [-1.0, -0.1, 0.5], [0.0, -0.5, -0.2]])

    def call(self, state):
        return tf.matmul(state, tf.constant(self.MATRIX.T))


@pytest.fixture(scope="session")
def flow():
    return true_flow("l63", dtype="float64")


@pytest.fixture(scope="session")
def circle_flow():
    return RK4Flow(RollingODE(dtype="float64"), 0.05, dtype="float64")


@pytest.fixture(scope="session")
def linear_flow():
    return RK4Flow(LinearODE(dtype="float64"), 0.1, dtype="float64")


@pytest.fixture(scope="session")
def background():
    return climatology(Lorenz63())


@pytest.fixture(scope="session")
def few(windows):
    """Observations of six windows."""
    return windows["observations"].values[:6]


@pytest.fixture(scope="session")
def few_truths(windows):
    return windows["truth"].values[:6]
