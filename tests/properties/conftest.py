import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.experiments import true_flow
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    ConvCell,
    GradientSolver,
    LinearObservation,
    LSTMCell,
)
from tf4dvar.models import FourDVarNet

MODELS = {
    "genn": lambda: FourDVarNet(GENN(units=4), GradientSolver(LSTMCell(units=4), iterations=3)),
    "flow": lambda: FourDVarNet(
        true_flow("l63", keras.config.dtype_policy().name),
        GradientSolver(ConvCell((3, 3)), iterations=3),
    ),
    "attention": lambda: FourDVarNet(
        GENN(units=4),
        GradientSolver(LSTMCell(units=4), iterations=2),
        first_guess=AttentionFirstGuess(segment=4, width=8, depth=1, heads=2),
    ),
    # x, and the sum of y and z in another unit, each with noise of its own.
    "operator": lambda: FourDVarNet(
        GENN(units=4),
        GradientSolver(LSTMCell(units=4), iterations=3),
        observation=[
            LinearObservation([[1.0, 0.0, 0.0]]),
            LinearObservation([[0.0, 10.0, 10.0]]),
        ],
        noise_variance=(2.0, 50.0),
    ),
}


def make_model(name):
    """A model with random weights: initial ones are zero where it would hide a fault."""
    keras.utils.set_random_seed(1)
    model = MODELS[name]()
    rng = np.random.default_rng(2)
    truth = rng.normal((1, -2, 20), (8, 9, 7), (50, 20, 3))
    if model.operator is None:
        model.adapt(np.where(rng.random(truth.shape) < 0.5, truth, np.nan))
    else:
        seen = truth @ np.array([[1, 0], [0, 10], [0, 10]])
        model.adapt(np.where(rng.random(seen.shape) < 0.5, seen, np.nan), truth)
    for weight in model.trainable_variables:
        weight.assign(weight.numpy() + rng.normal(0, 0.1, weight.shape))
    return model


def compiled(model):
    """The model as one graph for every shape: nothing is traced anew."""
    return graph(model.call, model.observed_components)


def graph(function, components, inputs=1):
    """A function of arrays [any, any, components] as one graph."""
    spec = tf.TensorSpec((None, None, components), tf.float32)
    return tf.function(function, input_signature=[spec] * inputs, autograph=False)


@pytest.fixture(scope="session", params=MODELS)
def any_model(request):
    """Each kind of model and its graph."""
    model = make_model(request.param)
    return model, compiled(model)


@pytest.fixture(scope="session")
def genn():
    model = make_model("genn")
    return model, compiled(model)
