"""A model of fields, [window, time, y, x, variable], takes the way of one of series."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar import export
from tf4dvar.errors import InputError
from tf4dvar.layers import ConvCell, Convolution, GradientSolver, LSTMCell
from tf4dvar.models import FourDVarNet, UnsupervisedLoss, load_model

SHAPE = (6, 8, 7, 2)


def make_model(update=None):
    """The prior of a value is a convolution of its neighbours; all is periodic in y and x."""
    keras.utils.set_random_seed(0)
    prior = Convolution(2, boundary="periodic", zero_centre=True)
    update = update or LSTMCell(units=4, boundary="periodic")
    return FourDVarNet(prior, GradientSolver(update, iterations=3))


@pytest.fixture(scope="module")
def data():
    """Waves that travel, of which a third of the values is seen."""
    rng = np.random.default_rng(0)
    phases = rng.uniform(0, 2 * np.pi, (12, 1, 1, 1, 2))
    t, y, x = np.meshgrid(*map(np.arange, SHAPE[:3]), indexing="ij")
    angle = (0.5 * t + 2 * np.pi * (y / SHAPE[1] + x / SHAPE[2]))[np.newaxis, ..., np.newaxis]
    truth = 10 + 3 * np.sin(angle + phases)
    return np.where(rng.random(truth.shape) < 0.3, truth, np.nan), truth


@pytest.fixture(scope="module")
def trained(data):
    model = make_model()
    model.adapt(data[0])
    model.compile(keras.optimizers.Adam(1e-2))
    model.history_of_losses = model.fit(*data, epochs=8, batch_size=6, verbose=0).history["loss"]
    return model


@pytest.mark.long
def test_it_learns_fields(trained):
    assert trained.history_of_losses[-1] < 0.7 * trained.history_of_losses[0]


def test_a_shift_around_the_globe_shifts_the_states(trained, data):
    states = trained.predict(data[0], verbose=0)
    for axis in (2, 3):
        shifted = trained.predict(np.roll(data[0], 3, axis), verbose=0)
        np.testing.assert_allclose(shifted, np.roll(states, 3, axis), rtol=1e-4, atol=1e-4)


def test_a_window_has_the_states_alone_that_it_has_in_a_batch(trained, data):
    states = trained.predict(data[0], verbose=0)
    np.testing.assert_allclose(
        trained.predict(data[0][4:5], verbose=0), states[4:5], rtol=1e-4, atol=1e-4
    )


@pytest.mark.long
def test_it_comes_back_exactly_and_is_exported_for_any_number_of_windows_and_times(
    trained, data, tmp_path
):
    observations = data[0].astype("float32")
    states = trained.predict(observations, verbose=0)
    trained.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(observations, verbose=0), states)
    version = export.save(trained, tmp_path / "served")
    served = tf.saved_model.load(version).signatures["serving_default"]
    for part in (observations, observations[:2, :4]):
        state = served(observations=tf.constant(part))["state"]
        np.testing.assert_allclose(state, trained.predict(part, verbose=0), rtol=1e-4, atol=1e-4)
    for wrong in (observations[..., :1], observations[:, :, :4], observations[..., 0]):
        with pytest.raises((tf.errors.InvalidArgumentError, TypeError)):
            served(observations=tf.constant(wrong))


@pytest.mark.long
def test_weights_unsupervised_loss_and_the_other_update_work_on_fields(data):
    model = make_model(ConvCell((2, 2), boundary="periodic"))
    model.adapt(data[0])
    model.compile(keras.optimizers.Adam(1e-2), UnsupervisedLoss(1.0, 1.0))
    weights = np.ones((12, 6))
    losses = model.fit(data[0], epochs=4, batch_size=6, verbose=0, sample_weight=weights).history[
        "loss"
    ]
    assert losses[-1] < losses[0]


def test_axes_that_are_missing_or_too_many_are_named(trained, data):
    with pytest.raises(InputError, match=r"\[window, time, space 1, space 2, component\]"):
        trained.predict(data[0][..., 0], verbose=0)
    with pytest.raises(ValueError, match=r"\[batch, time, \*space, component\]"):
        make_model().predict(data[0][0, 0, 0], verbose=0)
