"""What a model takes beside observations, by name: alone, in training, saved and exported."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar import export
from tf4dvar.errors import InputError
from tf4dvar.layers import FirstGuess, FixedStepCell, GradientSolver, LinearObservation
from tf4dvar.models import FourDVarNet, load_model


@keras.saving.register_keras_serializable(package="tests")
class Regression(FirstGuess):
    """A state from observations and two covariates of every time."""

    covariates = 2

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3)

    def call(self, observations, mask, covariates):
        return self.dense(tf.concat([observations, mask, covariates], axis=-1))


def make_model(iterations=0, first_guess=None, **settings):
    solver = GradientSolver(FixedStepCell(0.1), iterations)
    model = FourDVarNet(keras.layers.Dense(3), solver, first_guess, **settings)
    model.build((None, None, 3))
    model.normalisation.mean.assign([1.0, 2.0, 3.0])
    model.normalisation.std.assign([2.0, 4.0, 8.0])
    return model


@pytest.fixture
def observations(rng):
    values = rng.normal(size=(4, 10, 3)).astype("float32")
    return np.where(rng.random(values.shape) < 0.5, values, np.nan)


def test_a_dict_of_observations_alone_is_the_observations(observations):
    model = make_model(iterations=3)
    expected = model.predict(observations, verbose=0)
    given = {"observations": observations, "background": None}
    np.testing.assert_array_equal(model.predict(given, verbose=0), expected)


@pytest.mark.long
def test_the_solver_starts_from_a_background_where_one_is_known(observations, rng):
    model = make_model()
    background = rng.normal(size=(4, 10, 3)).astype("float32")
    background[:, 5:] = np.nan
    inputs = {"observations": observations, "background": background}
    states = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(states[:, :5], background[:, :5], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(states[:, 5:], model.predict(observations, verbose=0)[:, 5:])
    # Of the state, also where something else is observed.
    sums = make_model(observation=LinearObservation(np.array([[1.0, 1.0, 0.0]] * 3)))
    states = sums.predict(inputs, verbose=0)
    np.testing.assert_allclose(states[:, :5], background[:, :5], rtol=1e-5, atol=1e-5)


def test_a_noise_variance_that_is_not_given_is_the_models_own(observations):
    model = make_model(iterations=3, noise_variance=(0.5, 1.0, 2.0))
    expected = model.predict(observations, verbose=0)
    unknown = np.full_like(observations, np.nan)
    own = np.broadcast_to(np.float32((0.5, 1.0, 2.0)), observations.shape)
    half = np.where(np.arange(3) == 1, np.nan, own).astype("float32")
    for variance in (unknown, own, half):
        inputs = {"observations": observations, "noise_variance": variance}
        np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, rtol=1e-5, atol=1e-5)
    inputs["noise_variance"] = own * np.float32(100) ** np.arange(3)
    assert not np.allclose(model.predict(inputs, verbose=0), expected, atol=1e-3)


@pytest.mark.long
def test_covariates_train_and_come_back_in_every_form(observations, rng, tmp_path):
    covariates = rng.normal(size=(4, 10, 2)).astype("float32")
    truth = np.repeat(covariates.sum(axis=-1, keepdims=True), 3, axis=-1)
    inputs = {"observations": observations, "covariates": covariates}
    model = make_model(1, Regression())
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
    losses = model.fit(inputs, truth, epochs=30, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    states = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), states)
    served = tf.saved_model.load(export.save(model, tmp_path / "served")).signatures
    tensors = {name: tf.constant(values) for name, values in inputs.items()}
    state = served["serving_default"](**tensors)["state"]
    np.testing.assert_allclose(state, states, rtol=1e-5, atol=1e-5)
    found = served["reconstruct_with"](**tensors, iterations=tf.constant(0))["state"]
    model.iterations = 0
    np.testing.assert_allclose(found, model.predict(inputs, verbose=0), rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_an_exported_graph_takes_all_that_is_given(observations, rng, tmp_path):
    model = make_model(iterations=2, noise_variance=1.0)
    graph = tf.saved_model.load(export.save(model, tmp_path)).signatures["reconstruct_given"]
    background = rng.normal(size=observations.shape).astype("float32")
    variance = rng.uniform(0.5, 2, size=observations.shape).astype("float32")
    given = {"background": background, "noise_variance": variance}
    unknown = {name: np.full_like(values, np.nan) for name, values in given.items()}
    for some in ({}, *({name: given[name]} for name in given), given):
        inputs = {"observations": observations, **unknown, **some}
        state = graph(**{name: tf.constant(values) for name, values in inputs.items()})["state"]
        expected = model.predict({"observations": observations, **some}, verbose=0)
        np.testing.assert_allclose(state, expected, rtol=1e-5, atol=1e-5)
    narrow = {name: tf.constant(values[..., :2]) for name, values in inputs.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Received \w+ of shape"):
        graph(**narrow)


def test_what_has_no_such_name_is_refused(observations):
    model = make_model()
    for inputs, message in (
        ((observations, observations), "Received a tuple of 2 inputs"),
        ({"observations": observations, "noise": observations}, "named noise, observations"),
        ({"background": observations}, "named background; expected observations"),
        ({"observations": observations, "covariates": observations}, "Received 3 covariates"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(inputs, verbose=0)
    with pytest.raises(InputError, match=r"Received 0 covariates; .*Regression, takes 2"):
        make_model(first_guess=Regression()).predict(observations, verbose=0)
