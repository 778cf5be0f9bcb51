"""What `compile`, `fit` and the layers say of the loss counts, in both training loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_users_layers import Network
from tf4dvar.errors import InputError
from tf4dvar.layers import FixedStepCell, GradientSolver, LinearObservation
from tf4dvar.models import FourDVarNet, UnsupervisedLoss
from tf4dvar.training import train_loop

layers = keras.layers


def make_model(prior=None, **settings):
    model = FourDVarNet(
        prior or Network(), GradientSolver(FixedStepCell(0.1), iterations=1, **settings)
    )
    model.build((None, None, 3))
    model.normalisation.mean.assign([1.0, 2.0, 3.0])
    model.normalisation.std.assign([2.0, 4.0, 8.0])
    return model


@pytest.fixture
def data(rng):
    truth = rng.normal(size=(6, 10, 3)).astype("float32") * 4
    observations = np.where(rng.random(truth.shape) < 0.4, truth, np.nan).astype("float32")
    return observations, np.where(rng.random(truth.shape) < 0.7, truth, np.nan).astype("float32")


def evaluated(model, *args, loss=None, **kwargs):
    model.compile("sgd", loss=loss, run_eagerly=True)
    return model.evaluate(*args, batch_size=6, verbose=0, **kwargs)


def errors(model, data):
    return (model.predict(data[0], verbose=0) - data[1]) / model.normalisation.std.numpy()


@pytest.mark.long
@pytest.mark.parametrize(
    ("loss", "of"),
    [
        ("mse", np.square),
        ("mae", np.abs),
        (keras.losses.Huber(1.0), lambda e: np.where(np.abs(e) < 1, e**2 / 2, np.abs(e) - 0.5)),
        (lambda truth, state: tf.reduce_mean((truth - state) ** 4), lambda e: e**4),
    ],
)
def test_a_loss_of_compile_is_taken_over_known_truth_in_normalised_units(loss, of, data):
    model = make_model()
    expected = np.nanmean(of(errors(model, data)))
    np.testing.assert_allclose(evaluated(model, *data, loss=loss), expected, rtol=1e-4)


@pytest.mark.long
def test_the_mean_squared_error_is_the_supervised_loss_and_trains_as_it(data):
    weights = []
    for loss in (None, "mse"):
        keras.utils.set_random_seed(0)
        model = make_model()
        model.compile(keras.optimizers.SGD(0.1), loss=loss)
        model.fit(*data, batch_size=3, epochs=1, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_loss_of_compile_needs_truth(data):
    model = make_model()
    model.compile("sgd", "mae", run_eagerly=True)
    with pytest.raises(ValueError, match="received no true states"):
        model.fit(data[0], verbose=0)


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 10), (6, 10, 3)])
def test_sample_weights_multiply_the_squared_errors(shape, data, rng):
    model = make_model()
    weights = rng.uniform(0, 2, shape).astype("float32")
    squares = np.square(errors(model, data))
    expected = np.nanmean(squares * weights.reshape((*shape, 1, 1)[:3]))
    got = evaluated(model, *data, sample_weight=weights)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_sample_weights_multiply_the_variational_cost(data, rng):
    model, loss = make_model(), UnsupervisedLoss(0.5, 2.0)
    state = model.predict(data[0], verbose=0)
    deviation = model.normalisation.std.numpy()
    weights = rng.uniform(0, 2, state.shape[:2]).astype("float32")
    departures = np.square((state - data[0]) / deviation) * weights[..., None]
    residuals = np.square((model.prior_prediction(state) - state) / deviation) * weights[..., None]
    expected = 0.5 * np.nanmean(departures, axis=(1, 2)).mean() + 2.0 * residuals.mean()
    got = evaluated(model, data[0], data[1], loss=loss, sample_weight=weights)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    without_truth = evaluated(model, data[0], loss=loss, sample_weight=weights)
    np.testing.assert_allclose(without_truth, expected, rtol=1e-4)


def test_a_batch_alone_is_weighted_too(data):
    model = make_model()
    model.compile("sgd", run_eagerly=True)
    weights = np.zeros(6, "float32")
    before = model.get_weights()
    assert model.train_on_batch(*data, sample_weight=weights) == 0
    assert model.test_on_batch(*data, sample_weight=weights) == 0
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_of_components_that_a_loss_cannot_take_are_refused(data):
    weights = np.ones((6, 10, 3), "float32")
    with pytest.raises(InputError, match=r"\(6, 10, 3\).*expected \[window\]"):
        evaluated(make_model(), *data, loss="mae", sample_weight=weights)
    operator = LinearObservation(np.eye(3)[:2])
    model = FourDVarNet(
        Network(),
        GradientSolver(FixedStepCell(0.1), iterations=1),
        observation=operator,
    )
    loss = UnsupervisedLoss()
    with pytest.raises(InputError, match=r"\(6, 10, 3\).*expected \[window\]"):
        evaluated(model, data[0][..., :2], data[1], loss=loss, sample_weight=weights)


@keras.saving.register_keras_serializable(package="tests")
class Regularised(layers.Layer):
    """A prior with a penalty of each kind."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.enter = layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5))
        self.leave = layers.Dense(3, activity_regularizer=keras.regularizers.L1(0.25))

    def call(self, state):
        prediction = self.leave(self.enter(state))
        self.add_loss(0.125 * tf.reduce_max(prediction))
        return prediction


def penalty(model, observations):
    prior = model.prior
    states = model.predict(observations, verbose=0)
    prediction = prior(model.normalisation(states)).numpy()
    return (
        0.5 * np.square(prior.enter.kernel).sum()
        + 0.25 * np.abs(prediction).sum() / len(prediction)
        + 0.125 * prediction.max()
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "settings", [{}, {"recompute": True}, {"unroll": True}, {"micro_batches": 2}]
)
@pytest.mark.parametrize("eager", [False, True])
def test_what_layers_add_counts_once_at_the_reconstruction(eager, settings, data):
    model = make_model(Regularised(), **settings)
    error = np.nanmean(np.square(errors(model, data)))
    model.compile("sgd", run_eagerly=eager)
    got = model.evaluate(*data, batch_size=6, verbose=0)
    np.testing.assert_allclose(got, error + penalty(model, data[0]), rtol=1e-4)
    got = model.train_on_batch(*data)
    model.set_weights(model.get_weights())
    assert np.isfinite(got)


@pytest.mark.long
def test_both_training_loops_count_all_of_it(data, rng):
    weights = rng.uniform(0, 2, (6, 10)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((*data, weights)).batch(3).repeat()
    results = []
    for own_loop in (False, True):
        keras.utils.set_random_seed(0)
        model = make_model(Regularised())
        model.compile(keras.optimizers.SGD(0.01), loss="mae")
        if own_loop:
            losses = train_loop(model, batches, epochs=2, steps_per_epoch=2)
        else:
            history = model.fit(batches, epochs=2, steps_per_epoch=2, shuffle=False, verbose=0)
            losses = history.history["loss"]
        results.append((losses, model.get_weights()))
    (fit_losses, fit_weights), (loop_losses, loop_weights) = results
    np.testing.assert_allclose(loop_losses, fit_losses, rtol=1e-5)
    for ours, theirs in zip(loop_weights, fit_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
