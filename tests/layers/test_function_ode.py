import functools

import keras
import numpy as np
import pytest
import sympy
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar.errors import InputError
from tf4dvar.layers import GradientSolver, LSTMCell, RK4Flow, ode_layer
from tf4dvar.layers.adjoint import with_adjoint
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import System
from tf4dvar.systems.symbolic import Equations

VALUES = {"gravity": 9.81, "damping": 0.3}


@keras.saving.register_keras_serializable(package="tests")
def pendulum(state, gravity, damping):
    angle, speed = state[..., 0], state[..., 1]
    return [speed, -gravity * tf.sin(angle) - damping * speed]


@keras.saving.register_keras_serializable(package="tests")
def relaxation(state, matrix, rest):
    return tf.matmul(rest - state, matrix)


x, v, gravity, damping = sympy.symbols("x v gravity damping")
EQUATIONS = Equations({x: v, v: -gravity * sympy.sin(x) - damping * v})


@pytest.fixture
def states(rng):
    return rng.normal(size=(3, 6, 2))


def expected_slopes(states):
    angle, speed = np.moveaxis(states, -1, 0)
    return np.stack([speed, -9.81 * np.sin(angle) - 0.3 * speed], -1)


@pytest.mark.parametrize("tendency", [pendulum, EQUATIONS])
def test_it_is_the_function_at_its_parameters(tendency, states):
    ode = ode_layer(tendency, components=2, dtype="float64", **VALUES)
    np.testing.assert_allclose(ode(states), expected_slopes(states), rtol=1e-12)


@pytest.mark.parametrize("tendency", [pendulum, EQUATIONS])
def test_layers(tendency, states, tmp_path):
    ode = ode_layer(tendency, components=("angle", "speed"), **VALUES)
    check_layer(ode, states.astype("float32"), tmp_path=tmp_path)
    flow = RK4Flow(ode_layer(tendency, components=2, **VALUES), 0.05)
    check_layer(flow, states.astype("float32"), tmp_path=tmp_path)


def test_parameters_may_be_arrays(states, tmp_path):
    matrix = np.array([[1.0, 0.5], [0.0, 2.0]])
    ode = ode_layer(relaxation, components=2, matrix=matrix, rest=np.array([1.0, -1.0]))
    (slopes,) = check_layer(ode, states.astype("float32"), tmp_path=tmp_path)
    expected = (ode.parameters["rest"] - states) @ ode.parameters["matrix"]
    np.testing.assert_allclose(slopes, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tendency", [pendulum, EQUATIONS])
def test_each_parameter_is_trained_or_frozen(tendency, states):
    def trained(trainable):
        ode = ode_layer(tendency, components=2, trainable=trainable, **VALUES)
        ode.build(states.shape)
        return ode, {weight.name for weight in ode.trainable_variables}

    assert trained(True)[1] == {"gravity", "damping"}
    assert trained(False)[1] == set()
    ode, names = trained(["damping"])
    assert names == {"damping"}
    twin = type(ode).from_config(ode.get_config())
    twin.build(states.shape)
    assert {weight.name for weight in twin.trainable_variables} == {"damping"}


@pytest.mark.parametrize("tendency", [pendulum, EQUATIONS])
def test_its_adjoint_agrees_with_finite_differences(tendency, states, rng):
    flow = RK4Flow(
        ode_layer(tendency, components=2, dtype="float64", **VALUES), 0.2, dtype="float64"
    )
    direction, residual = rng.normal(size=(2, *states.shape))
    _, adjoint = with_adjoint(flow, tf.constant(states))
    step = 1e-6
    derivative = (flow(states + step * direction) - flow(states - step * direction)) / (2 * step)
    np.testing.assert_allclose(
        np.sum(adjoint(tf.constant(residual)) * direction),
        np.sum(residual * derivative),
        rtol=1e-8,
    )


@pytest.mark.long
def test_a_parameter_is_identified_from_states(states):
    system = System(EQUATIONS, time_step=0.05, initial=states[:, 0], gravity=9.81, damping=0.3)
    state = states.reshape(-1, 2)
    pairs = tf.constant(np.stack([state, system.step(state)], axis=1))
    ode = ode_layer(
        pendulum, components=2, trainable=["damping"], dtype="float64", gravity=9.81, damping=0.0
    )
    flow = RK4Flow(ode, 0.05, dtype="float64")
    flow.build(pairs.shape)
    optimizer = keras.optimizers.Adam(0.05)
    for _ in range(200):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(flow(pairs) - pairs)[:, 1:])
        optimizer.apply(tape.gradient(loss, flow.trainable_variables), flow.trainable_variables)
    np.testing.assert_allclose(ode.parameters["damping"], 0.3, atol=1e-3)
    assert ode.parameters["gravity"] == 9.81


@pytest.mark.long
def test_a_model_with_it_trains_and_is_saved(states, rng, tmp_path):
    truth = rng.normal(size=(16, 12, 2)).astype("float32")
    observations = np.where(np.arange(12)[:, None] % 3 == 0, truth, np.nan)
    prior = RK4Flow(ode_layer(pendulum, components=2, trainable=["damping"], **VALUES), 0.05)
    model = FourDVarNet(prior, GradientSolver(LSTMCell(units=4), iterations=2))
    model.adapt(observations)
    model.compile("adam", jit_compile=False)
    model.fit(observations, truth, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(observations, verbose=0), model.predict(observations, verbose=0)
    )


def unregistered(state):
    return -state


@pytest.mark.parametrize(
    ("tendency", "called"),
    [
        (lambda state: -state, "a lambda"),
        (unregistered, "the function unregistered"),
        (functools.partial(pendulum, gravity=1.0, damping=0.0), "the function partial"),
    ],
)
def test_a_function_that_could_not_be_saved_is_refused_with_the_remedy(tendency, called):
    with pytest.raises(InputError, match=f"{called}.*register_keras_serializable"):
        ode_layer(tendency, components=2)


def test_other_mistakes_are_named(states):
    with pytest.raises(InputError, match=r"missing a required argument: 'damping'"):
        ode_layer(pendulum, components=2, gravity=9.81)
    with pytest.raises(InputError, match="unexpected keyword argument 'g'"):
        ode_layer(pendulum, components=2, g=9.81, **VALUES)
    with pytest.raises(InputError, match="give `components`"):
        ode_layer(pendulum, **VALUES)
    with pytest.raises(InputError, match=r"\['mass'\] to be trained"):
        ode_layer(pendulum, components=2, trainable=["mass"], **VALUES)
    with pytest.raises(ValueError, match=r"expected \[batch, time, 2\]"):
        ode_layer(pendulum, components=2, **VALUES)(np.zeros((3, 2, 6), "float32"))

    @keras.saving.register_keras_serializable(package="tests")
    def one_component_alone(state):
        return state[..., 0]

    with pytest.raises(InputError, match="expected the same shape"):
        ode_layer(one_component_alone, components=2)(states)
