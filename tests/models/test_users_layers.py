"""Layers as Keras users write them: they train, keep their state, and come back exactly."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar import export
from tf4dvar.layers import FixedStepCell, GradientSolver, LSTMCell, RK4Flow, Update, VariationalCost
from tf4dvar.models import FourDVarNet

layers = keras.layers


@keras.saving.register_keras_serializable(package="tests")
class Network(layers.Layer):
    """The ordinary style: layers made in `__init__`, no `build`."""

    def __init__(self, units=4, inside=(), **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.enter = layers.Conv1D(units, 3, padding="same")
        self.inside = list(inside)
        self.leave = layers.Dense(3)

    def call(self, state):
        hidden = self.enter(state)
        for layer in self.inside:
            hidden = layer(hidden)
        return self.leave(hidden)

    def get_config(self):
        inside = [keras.saving.serialize_keras_object(layer) for layer in self.inside]
        return {**super().get_config(), "units": self.units, "inside": inside}

    @classmethod
    def from_config(cls, config):
        inside = map(keras.saving.deserialize_keras_object, config["inside"])
        return cls(**{**config, "inside": list(inside)})


@keras.saving.register_keras_serializable(package="tests")
class Nested(layers.Layer):
    """A layer that holds one of the ordinary style."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.network = Network()

    def call(self, state):
        return self.network(state)


@keras.saving.register_keras_serializable(package="tests")
class HalfBuilt(layers.Layer):
    """A `build` that makes some of its weights."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.network = Network()

    def build(self, state_shape):
        self.factor = self.add_weight(shape=(state_shape[-1],), initializer="ones")

    def call(self, state):
        return self.factor * self.network(state)


@keras.saving.register_keras_serializable(package="tests")
class Remembering(Update):
    """An update of the ordinary style."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.memory = layers.Dense(4, activation="tanh")
        self.increment = layers.Dense(3)

    def initial(self, first_guess):
        return (tf.zeros_like(first_guess[..., :1]) * tf.zeros(4),)

    def call(self, gradient, memory):
        memory = self.memory(tf.concat([gradient, *memory], axis=-1))
        return self.increment(memory), (memory,)


@keras.saving.register_keras_serializable(package="tests")
class Guess(layers.Layer):
    """A first guess of the ordinary style."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.network = Network()

    def call(self, observations, mask):
        return self.network(tf.concat([observations, mask], axis=-1))


@keras.saving.register_keras_serializable(package="tests")
class TwoInputGuess(Guess):
    """A first guess with a `build` of both inputs, as Keras lets it be."""

    def build(self, observations_shape, observed_shape):
        self.factor = self.add_weight(shape=observed_shape[-1:], initializer="ones")

    def call(self, observations, observed):
        return self.factor * super().call(observations, observed)


def sequential():
    return keras.Sequential([layers.Conv1D(4, 3, padding="same", activation="tanh"), Network()])


def functional():
    state = keras.Input((None, 3))
    hidden = layers.Conv1D(4, 3, padding="same", activation="tanh")(state)
    return keras.Model(state, layers.Add()([Network()(hidden), layers.Dense(3)(state)]))


PARTS = {
    "ordinary": lambda: {"prior": Network()},
    "nested": lambda: {"prior": Nested()},
    "half built": lambda: {"prior": HalfBuilt()},
    "sequential": lambda: {"prior": sequential()},
    "functional": lambda: {"prior": functional()},
    "in a flow": lambda: {"prior": RK4Flow(Network(), 0.01)},
    "batch normalization": lambda: {"prior": Network(inside=[layers.BatchNormalization()])},
    "dropout": lambda: {"prior": Network(inside=[layers.Dropout(0.5)])},
    "recomputed": lambda: {
        "prior": Network(inside=[layers.BatchNormalization(), layers.Dropout(0.5)]),
        "recompute": True,
    },
    "update": lambda: {"prior": Network(), "cell": Remembering()},
    "first guess": lambda: {"prior": Network(), "first_guess": Guess()},
    "first guess of two shapes": lambda: {"prior": Network(), "first_guess": TwoInputGuess()},
}


TRACED = ("ordinary", "recomputed")


def make_model(prior, cell=None, first_guess=None, **settings):
    solver = GradientSolver(cell or LSTMCell(units=2), iterations=2, **settings)
    return FourDVarNet(prior, solver, first_guess)


@pytest.fixture
def data(windows):
    return (
        windows["observations"].values[:8, :24].astype("float32"),
        windows["truth"].values[:8, :24].astype("float32"),
    )


@pytest.mark.long
@pytest.mark.parametrize("name", PARTS)
def test_they_train_and_come_back_exactly(name, data, tmp_path):
    model = make_model(**PARTS[name]())
    model.adapt(*data)
    before = model.get_weights()
    # Tracing takes longer than all else.
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=name not in TRACED)
    model.fit(*data, batch_size=4, epochs=1, verbose=0)
    trained = {id(weight) for weight in model.trainable_weights}
    for weight, value in zip(model.weights, before, strict=True):
        assert id(weight) not in trained or not np.array_equal(weight, value), weight.path
    states = model.predict(data[0], verbose=0)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(data[0], verbose=0), states)
    for ours, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))

    model.save_weights(tmp_path / "model.weights.h5")
    twin = make_model(**PARTS[name]())
    twin.build(data[0].shape)
    twin.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(twin.predict(data[0], verbose=0), states)

    version = export.save(model, tmp_path / "served")
    served = tf.saved_model.load(version).signatures["serving_default"]
    other = served(tf.constant(data[0][:3, :17]))["state"]
    np.testing.assert_allclose(other, model(data[0][:3, :17]), rtol=1e-5, atol=1e-4)


def test_a_cost_by_itself_builds_a_users_prior():
    cost = VariationalCost(Network())
    cost.build((None, None, 3))
    assert len(cost.prior.weights) == 4


def test_dropout_drops_the_same_entries_in_all_iterations(rng):
    """Two iterations are two steps of descent of one function."""
    state = rng.normal(size=(4, 12, 3)).astype("float32")
    prior = Network(inside=[layers.Dropout(0.5, seed=1)])
    model = make_model(prior, FixedStepCell(0.01))
    model.build(state.shape)
    seed = prior.inside[0].seed_generator.state
    mask, start = np.ones_like(state), seed.numpy()
    two = model.solver(state, 2 * state, mask, cost_gradient=model.cost_gradient, training=True)
    np.testing.assert_array_equal(seed.numpy() - start, [0, 1])
    expected, step = state, None
    for _ in range(2):
        seed.assign(start)
        gradient, _ = model.cost_gradient(expected, 2 * state, mask, training=True)
        if step is None:
            step = 0.01 / np.sqrt(np.mean(np.square(gradient), axis=(1, 2), keepdims=True))
        expected = expected - step * gradient
    np.testing.assert_allclose(two, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("settings", [{}, {"unroll": True}, {"recompute": True}])
def test_moving_statistics_move_once_a_step_by_those_of_the_reconstruction(settings, rng):
    state = rng.normal(size=(4, 12, 3)).astype("float32")
    prior = Network(inside=[layers.BatchNormalization(momentum=0.9)])
    model = make_model(prior, FixedStepCell(0.1), **settings)
    model.build(state.shape)
    mask = np.ones_like(state)
    solver = tf.function(partial(model.solver, cost_gradient=model.cost_gradient), autograph=False)
    result = solver(state, 2 * state, mask, training=True)
    norm = prior.inside[0]
    expected = 0.1 * np.mean(prior.enter(result), axis=(0, 1))
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-4, atol=1e-6)
    moved = norm.moving_mean.numpy()
    solver(state, 2 * state, mask, training=False)
    model.solver.iterates(state, 2 * state, mask, model.cost_gradient)
    np.testing.assert_array_equal(norm.moving_mean, moved)


@pytest.mark.long
@pytest.mark.parametrize("settings", [{"unroll": True}, {"recompute": True}])
def test_gradients_through_dropout_are_those_of_the_loop(settings, rng):
    state = rng.normal(size=(4, 12, 3)).astype("float32")
    gradients = []
    for each in ({}, settings):
        keras.utils.set_random_seed(0)
        prior = Network(inside=[layers.Dropout(0.5, seed=3)])
        model = make_model(prior, **each)
        model.build(state.shape)
        with tf.GradientTape() as tape:
            data = state, 2 * state, np.ones_like(state)
            result = model.solver(*data, cost_gradient=model.cost_gradient, training=True)
            loss = tf.reduce_mean(tf.square(result))
        gradients.append(tape.gradient(loss, model.trainable_variables))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
