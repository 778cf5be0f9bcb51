"""Models that observe the state by an operator, by several instruments, or with known noise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.test_observation_operators import Speed
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    ConvCell,
    GradientSolver,
    LinearObservation,
)
from tf4dvar.models import FourDVarNet, RScore, UnsupervisedLoss

MATRIX = np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]])


def make_model(**settings):
    return FourDVarNet(GENN(units=4), GradientSolver(ConvCell(), iterations=2), **settings)


@pytest.fixture
def truth(windows):
    return windows["truth"].values[:20, :24].astype("float32")


def observe(truth, rng, every=4):
    seen = truth + rng.normal(size=truth.shape)
    return np.where(np.arange(truth.shape[1])[:, None] % every == 0, seen, np.nan).astype("float32")


def same_weights(model, other, observations):
    for each in (model, other):
        each.build(observations.shape)
    for ours, theirs in zip(model.trainable_variables, other.trainable_variables, strict=True):
        theirs.assign(ours)


def speeds(truth):
    return np.sqrt(1 + np.square(truth[..., :2]).sum(-1, keepdims=True))


SOURCES = {
    "linear": (
        lambda: {"observation": LinearObservation(MATRIX), "noise_variance": [0.5, 2.0]},
        lambda truth: truth @ MATRIX.T,
    ),
    "not linear": (
        lambda: {
            "observation": Speed(),
            "first_guess": AttentionFirstGuess(segment=4, width=8, depth=1, heads=1, components=3),
        },
        speeds,
    ),
    "two sources": (
        lambda: {
            "observation": [LinearObservation(MATRIX), LinearObservation([[1.0, 0, 0]])],
            "observation_weight": (1.0, 0.3),
        },
        lambda truth: np.concatenate([truth @ MATRIX.T, truth[..., :1]], axis=-1),
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", SOURCES)
def test_it_trains_predicts_and_is_saved(name, truth, rng, tmp_path):
    settings, observed = SOURCES[name]
    observations = observe(observed(truth), rng)
    model = make_model(**settings())
    model.adapt(observations, truth)
    # One of them in graph mode is enough: tracing takes longer than all else.
    model.compile(
        keras.optimizers.Adam(5e-3),
        UnsupervisedLoss() if name == "two sources" else None,
        metrics=[RScore()],
        jit_compile=False,
        run_eagerly=name != "two sources",
    )
    inputs = observations
    if name == "two sources":
        variance = rng.uniform(0.5, 2.0, observations.shape).astype("float32")
        inputs = {"observations": observations, "noise_variance": variance}
    history = model.fit(inputs, truth, epochs=4, batch_size=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    states = model.predict(inputs, verbose=0)
    assert states.shape == truth.shape
    np.testing.assert_allclose(model.iterates(inputs).states[-1], states, rtol=1e-4, atol=1e-3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), states)


@pytest.mark.long
def test_it_is_exported_and_called_without_the_package(truth, rng, tmp_path):
    observations = observe(truth @ MATRIX.T, rng)
    model = make_model(observation=LinearObservation(MATRIX), noise_variance=1.0)
    model.adapt(observations, truth)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.call, [tf.TensorSpec((None, None, 2), tf.float32)])
    archive.write_out(tmp_path / "saved", verbose=False)
    saved = tf.saved_model.load(tmp_path / "saved")
    served = saved.serve(tf.constant(observations[:3, :20]))
    np.testing.assert_allclose(served, model(observations[:3, :20]), rtol=1e-5, atol=1e-4)


def test_the_unit_of_the_observations_makes_no_difference(truth, rng):
    observations = observe(truth, rng)
    plain = make_model()
    plain.adapt(observations)
    factors = np.array([1000.0, 1.0, 0.01])
    other = make_model(observation=LinearObservation(np.diag(factors)))
    other.adapt(observations * factors, observations)
    same_weights(plain, other, observations)
    np.testing.assert_allclose(
        other((observations * factors).astype("float32")),
        plain(observations),
        rtol=1e-3,
        atol=1e-3,
    )


def test_a_linear_first_guess_explains_what_is_observed(truth):
    model = make_model(observation=LinearObservation(MATRIX))
    observations = (truth @ MATRIX.T).astype("float32")
    model.adapt(observations, truth)
    model.iterations = 0
    guess = model(observations).numpy()
    np.testing.assert_allclose(guess @ MATRIX.T, observations, atol=1e-3)
    assert np.abs(guess - truth).max() > 1


def test_noise_as_large_as_the_deviations_is_no_news(truth, rng):
    observations = observe(truth, rng)
    plain = make_model()
    plain.adapt(observations)
    variance = np.square(plain.normalisation.std.numpy())
    known = make_model(noise_variance=variance)
    known.adapt(observations)
    same_weights(plain, known, observations)
    expected = plain(observations)
    np.testing.assert_allclose(known(observations), expected, rtol=1e-4, atol=1e-4)
    entries = np.broadcast_to(variance, observations.shape).astype("float32")
    by_entry = plain({"observations": observations, "noise_variance": entries})
    np.testing.assert_allclose(by_entry, expected, rtol=1e-4, atol=1e-4)
    # Where an entry is next to useless its value makes no difference to the cost.
    state, cost = tf.constant(plain.normalisation(truth)), plain.cost_gradient.cost
    entries = entries.copy()
    entries[:, 0] *= 1e12
    changed = observations.copy()
    changed[:, 0] += 1.0
    costs = [
        cost(
            state,
            *plain._prepare({"observations": tf.constant(y), "noise_variance": entries})[1:],
        )
        for y in (observations, changed)
    ]
    np.testing.assert_allclose(*costs, rtol=1e-5)
    assert not np.allclose(
        cost(state, *plain._prepare(tf.constant(observations))[1:]),
        cost(state, *plain._prepare(tf.constant(changed))[1:]),
        rtol=1e-5,
    )


def test_a_model_saved_before_there_were_operators_is_read(truth):
    model = make_model()
    model.build(truth.shape)
    config = model.get_config()
    for added in ("observation", "noise_variance"):
        del config[added]
    old = FourDVarNet.from_config(config)
    old.build(truth.shape)
    old.set_weights(model.get_weights())
    np.testing.assert_array_equal(old(truth), model(truth))


def test_mistakes_are_named(truth):
    with pytest.raises(ValueError, match="AttentionFirstGuess"):
        make_model(observation=Speed())
    with pytest.raises(ValueError, match="noise_variance=0"):
        make_model(noise_variance=0.0)
    model = make_model(observation=LinearObservation(MATRIX))
    observations = (truth @ MATRIX.T).astype("float32")
    with pytest.raises(ValueError, match=r"give adapt\(observations, truth\)"):
        model.adapt(observations)
    model.adapt(observations, truth)
    with pytest.raises(tf.errors.InvalidArgumentError, match="noise variance"):
        model({"observations": observations, "noise_variance": -np.ones_like(observations)})
    with pytest.raises(ValueError, match=r"observation operators give \(2,\) components"):
        make_model(observation=LinearObservation(MATRIX)).build(truth.shape)
