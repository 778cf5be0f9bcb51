"""What a newcomer does wrong is answered; what is right is not."""

import logging

import keras
import numpy as np
import pytest

from tf4dvar.errors import InputError
from tf4dvar.layers import (
    GENN,
    FixedStepCell,
    GradientSolver,
    Lorenz63ODE,
    LSTMCell,
    RK4Flow,
)
from tf4dvar.models import FourDVarNet


def flow_model(time_step=0.01, cell=None):
    prior = RK4Flow(Lorenz63ODE(trainable=False), time_step)
    model = FourDVarNet(prior, GradientSolver(cell or LSTMCell(units=2), iterations=1))
    model.compile("sgd", jit_compile=False, run_eagerly=True)
    return model


@pytest.fixture
def data(windows):
    return (
        windows["observations"].values[:8].astype("float32"),
        windows["truth"].values[:8].astype("float32"),
    )


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="tf4dvar")
    return lambda: caplog.text


def test_good_data_raise_no_alarm(data, said):
    model = flow_model()
    model.adapt(data[0])
    model.fit(*data, epochs=1, verbose=0)
    model.predict(data[0], verbose=0)
    assert said() == ""


def test_axes_in_another_order_are_refused(data):
    observations, truth = data
    with pytest.raises(ValueError, match=r"expected \[batch, time, 3\]"):
        flow_model().adapt(np.swapaxes(observations, 1, 2))
    model = flow_model()
    model.adapt(observations)
    for order in ((0, 2, 1), (1, 2, 0)):
        with pytest.raises(InputError, match=r"np\.transpose\(observations, "):
            model.predict(np.transpose(observations, order), verbose=0)
    with pytest.raises(InputError, match="true states of shape"):
        model.fit(observations, np.swapaxes(truth, 1, 2), verbose=0)
    with pytest.raises(InputError, match="Add the missing axes"):
        model.predict(observations[0], verbose=0)


def test_components_in_another_order_are_named(data, said):
    model = flow_model()
    model.adapt(data[0])
    model.fit(data[0], data[1][..., ::-1], epochs=1, verbose=0)
    assert "Component 0 of the observations is nearer to component 2" in said()


def test_other_units_are_named(data, said):
    model = flow_model()
    model.adapt(data[0])
    model.predict(1000 * data[0], verbose=0)
    assert "Give the units" in said()


def test_a_model_that_was_not_adapted_is_named(data, said):
    flow_model().fit(100 * data[0], 100 * data[1], epochs=1, verbose=0)
    assert "adapted to a mean of 0 and a deviation of 1" in said()


def test_zeros_in_place_of_nan_are_named(data, said):
    model = flow_model()
    model.adapt(np.nan_to_num(data[0]))
    assert "is exactly 0" in said()
    assert "No entry of the observations" in said()


def test_a_time_step_that_is_too_large_is_named(data, said):
    model = flow_model(time_step=0.5)
    model.adapt(data[0])
    model.fit(*data, epochs=1, verbose=0)
    assert "Its time step, 0.5, should be the time between two states" in said()


def test_states_that_are_not_finite_are_named(data, said):
    model = flow_model(cell=FixedStepCell(1e30))
    model.iterations = 5
    model.adapt(data[0])
    model.predict(data[0], verbose=0)
    assert "The states of 8 of 8 windows are not finite" in said()


def test_finite_states_that_are_far_astray_are_named(data, said):
    model = flow_model(cell=FixedStepCell(1e-9))
    model.adapt(data[0])
    observations = data[0].copy()
    observations[3, np.isfinite(observations[3, :, 0]).argmax(), 0] = 400.0
    model.predict(observations, verbose=0)
    assert "The states of 1 of 8 windows are farther than 20 deviations" in said()
    assert "the first of them number 3" in said()
    assert said().count("WARNING") == 1


@pytest.mark.long
def test_pipelines_are_not_looked_at(data, said):
    import tensorflow as tf

    model = FourDVarNet(GENN(units=2), GradientSolver(LSTMCell(units=2), iterations=1))
    model.adapt(data[0])
    model.compile("sgd", jit_compile=False, run_eagerly=True)
    pipeline = tf.data.Dataset.from_tensor_slices((1000 * data[0], data[1])).batch(4)
    model.fit(pipeline, epochs=1, shuffle=False, verbose=0)
    assert said() == ""
    assert isinstance(model, keras.Model)
