"""Land takes no part: whatever is there changes nothing at sea."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar import export
from tf4dvar.errors import InputError
from tf4dvar.layers import (
    GENN,
    BilinearAutoEncoder,
    Convolution,
    CostGradient,
    FixedStepCell,
    GradientSolver,
    LinearInterpolation,
    LSTMCell,
    NearestFirstGuess,
    OptimalInterpolation,
    UNetFirstGuess,
    VariationalCost,
)
from tf4dvar.models import FourDVarNet, SupervisedLoss, UnsupervisedLoss, load_model

pytestmark = pytest.mark.long

SHAPE = (3, 4, 6, 8, 1)
LAND = np.zeros((3, 6, 8), bool)
LAND[:, :2, :3] = LAND[:, 4, 5] = LAND[1, :, 7] = True
ON_LAND = np.broadcast_to(LAND[:, np.newaxis, ..., np.newaxis], SHAPE)
POISON = (np.nan, 1e30, -np.inf)
GUESSES = {
    "linear": LinearInterpolation,
    "nearest": NearestFirstGuess,
    "learned": lambda: UNetFirstGuess(4, 1, segment=4),
    "optimal": OptimalInterpolation,
}


@pytest.fixture
def data(rng):
    truth = 5 + rng.normal(size=SHAPE).astype("float32")
    return np.where(rng.random(SHAPE) < 0.3, truth, np.float32(np.nan)), truth


def make_model(first_guess="linear", prior=None, update=None):
    keras.utils.set_random_seed(0)
    prior = prior or BilinearAutoEncoder(4, 3, (1, 2), segment=4)
    update = update or LSTMCell(4, segment=4)
    solver = GradientSolver(update, iterations=3)
    return FourDVarNet(prior, solver, GUESSES[first_guess](), noise_variance=0.1)


def inputs_of(observations, poison=None):
    """All that a model takes, with a poison on land."""
    inputs = {
        "observations": observations,
        "noise_variance": np.full(SHAPE, 0.2, "float32"),
        "background": np.where(np.isfinite(observations), observations, np.nan) + 0.1,
    }
    if poison is not None:
        inputs = {name: np.where(ON_LAND, poison, of) for name, of in inputs.items()}
    return {name: of.astype("float32") for name, of in inputs.items()} | {"land": LAND}


def as_tensors(inputs):
    return {name: tf.constant(np.asarray(of, "float32")) for name, of in inputs.items()}


@pytest.mark.parametrize("first_guess", GUESSES)
@pytest.mark.parametrize("poison", POISON)
def test_whatever_is_on_land_changes_nothing_at_sea(first_guess, poison, data):
    model = make_model(first_guess)
    model.adapt(inputs_of(data[0]), data[1])
    states, costs = model.iterates(inputs_of(data[0], 5.0))
    assert np.isfinite(states[-1].numpy()[~ON_LAND]).all()
    if np.isinf(poison):
        # No sentence of its own: what is infinite at sea is refused.
        with pytest.raises(tf.errors.InvalidArgumentError, match="infinite"):
            model(as_tensors({"observations": np.full(SHAPE, poison, "float32"), "land": LAND}))
    poisoned, its_costs = model.iterates(inputs_of(data[0], poison))
    np.testing.assert_array_equal(poisoned, states)
    np.testing.assert_array_equal(its_costs, costs)
    assert np.isnan(states.numpy()[:, ON_LAND]).all()


@pytest.mark.parametrize(
    ("loss", "poison"),
    [
        (SupervisedLoss(0.1, 0.1), 1e30),
        (SupervisedLoss(0.1, 0.1), np.nan),
        (UnsupervisedLoss(1.0, 1.0), -np.inf),
        ("mse", np.nan),
    ],
    ids=str,
)
def test_nor_the_loss_its_gradient_the_normalisation_and_the_scores(loss, poison, data):
    results = []
    for there in (5.0, poison):
        model = make_model()
        truth = np.where(ON_LAND, there, data[1]).astype("float32")
        inputs = inputs_of(data[0], there)
        model.adapt(inputs, truth)
        model.compile("adam", loss, metrics=["mae"], run_eagerly=True)
        tensors, truth = as_tensors(inputs), tf.constant(truth)
        with tf.GradientTape() as tape:
            states = model(tensors)
            value = model.compute_loss(tensors, truth, states)
        gradients = tape.gradient(value, model.trainable_variables)
        scores = model.compute_metrics(tensors, truth, states)
        given = [*model.normalisation.weights, value, *gradients, scores["mae"], model.farthest]
        results.append([np.asarray(each) for each in given])
    for ours, theirs in zip(*results, strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("prior", ["convolution", "genn"])
def test_the_cost_is_a_mean_over_the_sea_and_the_gradient_its_derivative(prior, rng):
    f64 = {"dtype": "float64"}
    layer = GENN(4, 3, scale=2, **f64) if prior == "genn" else Convolution(1, 3, **f64)
    cost = VariationalCost(layer, 2.0, 3.0, **f64)
    state, observations = (tf.constant(each) for each in rng.normal(size=(2, *SHAPE)))
    mask = tf.constant((rng.random(SHAPE) < 0.4) * ~ON_LAND * 1.0)
    sea = tf.constant(1.0 - LAND[:, np.newaxis, ..., np.newaxis])
    gradient, costs = CostGradient(cost, **f64)(state, observations, mask, sea=sea)
    with tf.GradientTape() as tape:
        tape.watch(state)
        expected = cost(state, observations, mask, sea=sea)
    np.testing.assert_allclose(costs, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, tape.gradient(expected, state), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(gradient.numpy()[ON_LAND], 0.0)
    for window in range(len(LAND)):
        at_sea = ~ON_LAND[window]
        dry = np.where(at_sea, state[window], 0.0)
        residual = (dry - layer(dry[np.newaxis])[0].numpy())[at_sea]
        seen = mask[window].numpy() > 0
        departure = (state - observations)[window].numpy()[seen]
        by_hand = 2 * np.mean(departure**2) + 3 * np.mean(residual**2)
        np.testing.assert_allclose(costs[window], by_hand, rtol=1e-12)


def test_land_is_as_what_lies_beyond_a_boundary_of_zeros(data):
    model = make_model(prior=Convolution(1, 3, zero_centre=True), update=FixedStepCell(0.1))
    model.adapt(data[0])
    around = [(0, 0), (0, 0), (2, 1), (0, 3), (0, 0)]
    wide = np.pad(data[0], around, constant_values=7.0)
    land = np.pad(np.zeros_like(LAND), [around[0], *around[2:4]], constant_values=True)
    wider = make_model(prior=Convolution(1, 3, zero_centre=True), update=FixedStepCell(0.1))
    wider.build(wide.shape)
    wider.set_weights(model.get_weights())
    states = wider.predict({"observations": wide, "land": land}, verbose=0)
    np.testing.assert_allclose(
        states[:, :, 2:-1, :-3], model.predict(data[0], verbose=0), rtol=1e-5, atol=1e-5
    )


def test_a_window_that_is_all_land_disturbs_no_other(data):
    model = make_model("nearest")
    model.adapt(data[0])
    land = LAND.copy()
    land[2] = True
    states = model.predict({"observations": data[0], "land": land}, verbose=0)
    expected = model.predict({"observations": data[0], "land": LAND}, verbose=0)
    np.testing.assert_allclose(states[:2], expected[:2], rtol=1e-5)
    assert np.isnan(states[2]).all()


def test_it_comes_back_exactly_and_is_exported_with_it(data, tmp_path):
    model = make_model()
    model.adapt(data[0])
    inputs = inputs_of(data[0], 1e30)
    states = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), states)
    served = tf.saved_model.load(export.save(model, tmp_path / "served"))
    given = served.signatures["reconstruct_given"](**as_tensors(inputs))["state"]
    np.testing.assert_allclose(given, states, rtol=1e-4, atol=1e-4)
    assert np.isnan(given.numpy()[ON_LAND]).all()


def test_land_of_another_shape_is_refused(data):
    model = make_model()
    model.adapt(data[0])
    for land in (LAND[:, :3], LAND[0], LAND[..., np.newaxis]):
        with pytest.raises(InputError, match=r"Received land of shape .*\[window, \*space\]"):
            model.predict({"observations": data[0], "land": land}, verbose=0)
    series = np.zeros((2, 5, 1), "float32")
    with pytest.raises(InputError, match=r"Received land of shape \(2,\).*of a field"):
        make_model()({"observations": tf.constant(series), "land": tf.zeros(2)})
