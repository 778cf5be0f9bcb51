"""Known dynamics and a learned prior in one model."""

import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_forced import blown
from tf4dvar import export
from tf4dvar.data import protocol_plan, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.evaluation.scores import evaluate
from tf4dvar.export.card import model_card
from tf4dvar.layers import (
    GENN,
    BilinearAutoEncoder,
    FixedStepCell,
    GradientSolver,
    Lorenz63ODE,
    LSTMCell,
    QuasiGeostrophicFlow,
    QuasiGeostrophicODE,
    RK4Flow,
    ode_layer,
)
from tf4dvar.models import FourDVarNet, SupervisedLoss, UnsupervisedLoss, load_model
from tf4dvar.systems import Lorenz63
from tf4dvar.training import identify_prior

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def dataset():
    return simulate_dataset(Lorenz63(), protocol_plan("l63", "T"), windows=8, steps=20)


@pytest.fixture(scope="module")
def data(dataset):
    return [dataset[name].values.astype("float32") for name in ("observations", "truth")]


def make_model(prior=None, weight=(2.0, 0.5), trainable=False, **settings):
    keras.utils.set_random_seed(0)
    known = RK4Flow(Lorenz63ODE(trainable=trainable), 0.01)
    solver = GradientSolver(LSTMCell(units=4), iterations=2)
    return FourDVarNet(prior or [known, GENN(units=4)], solver, prior_weight=weight, **settings)


@pytest.fixture(scope="module")
def trained(data):
    model = make_model()
    model.adapt(data[0])
    model.compile(keras.optimizers.Adam(1e-2), SupervisedLoss(0.05, 0.05))
    known = model.prior[0].get_weights()
    losses = model.fit(*data, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for before, now in zip(known, model.prior[0].get_weights(), strict=True):
        np.testing.assert_array_equal(before, now)
    return model


def test_it_comes_back_exactly(trained, data, tmp_path):
    states = trained.predict(data[0], verbose=0)
    trained.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(data[0], verbose=0), states)
    assert json.dumps(loaded.get_config()) == json.dumps(trained.get_config())
    assert loaded.get_config()["prior_weight"] == [2.0, 0.5]
    assert not loaded.prior[0].trainable_variables
    trained.save_weights(tmp_path / "model.weights.h5")
    twin = make_model()
    twin.build(data[0].shape)
    twin.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(twin.predict(data[0], verbose=0), states)


def test_it_is_exported_and_described(trained, data, tmp_path, capsys):
    version = export.save(trained, tmp_path / "served")
    served = tf.saved_model.load(version).signatures["serving_default"]
    state = served(observations=tf.constant(data[0]))["state"]
    np.testing.assert_allclose(state, trained.predict(data[0], verbose=0), rtol=1e-4, atol=1e-4)
    assert model_card(trained, "tf_saved_model")["prior"] == "RK4Flow + GENN"
    trained.summary()
    shown = capsys.readouterr().out
    assert "RK4Flow" in shown
    assert "GENN" in shown


def test_both_are_trained_by_the_cost_too(data):
    model = make_model(trainable=True)
    model.adapt(data[0])
    model.compile(keras.optimizers.Adam(1e-2), UnsupervisedLoss(1.0, (100.0, 10.0)))
    before = [[*map(np.array, prior.get_weights())] for prior in model.priors]
    model.fit(data[0], epochs=1, verbose=0)
    for prior, weights in zip(model.priors, before, strict=True):
        moved = [np.any(a != b) for a, b in zip(weights, prior.get_weights(), strict=True)]
        assert any(moved)
    weights = model.cost_gradient.cost.log_weights.numpy()
    assert np.all(weights != np.log(np.float32([1.0, 2.0, 0.5])))


def test_the_losses_sum_the_terms_of_each(trained, data):
    observations, truth = map(tf.constant, data)
    state = trained(observations)
    normalised = trained.normalisation(state)
    cost = trained.cost_gradient.cost
    squares = [
        [np.mean(np.square(x - prior(x))) for prior in cost.priors]
        for x in (trained.normalisation(truth), normalised)
    ]

    def loss(of):
        trained.training_loss = of
        return float(trained.compute_loss(observations, truth, state))

    plain, both = loss(SupervisedLoss()), loss(SupervisedLoss(0.3, 0.7))
    expected = plain + 0.3 * sum(squares[0]) + 0.7 * sum(squares[1])
    np.testing.assert_allclose(both, expected, rtol=1e-5)
    seen = np.isfinite(data[0])
    departures = np.where(seen, normalised - trained.normalisation(observations), 0.0)
    departure = np.mean(np.square(departures).sum((1, 2)) / seen.sum((1, 2)))
    for weight, (first, second) in ((2.0, (2.0, 2.0)), ((2.0, 5.0), (2.0, 5.0))):
        expected = 3 * departure + first * squares[1][0] + second * squares[1][1]
        np.testing.assert_allclose(loss(UnsupervisedLoss(3.0, weight)), expected, rtol=1e-5)
    with pytest.raises(InputError, match=r"prior_weight=.*one number for all, or 2 of them"):
        loss(UnsupervisedLoss(3.0, (1.0, 2.0, 3.0)))


def test_its_prediction_is_the_mean_of_theirs_by_their_weights(trained, dataset, data):
    truth = data[1]
    x = trained.normalisation(truth)
    flow, genn = (prior(x).numpy() for prior in trained.cost_gradient.cost.priors)
    first, second = np.exp(trained.cost_gradient.cost.log_weights[1:])
    mean = trained.normalisation.inverse((first * flow + second * genn) / (first + second))
    found = trained.prior_prediction(truth)
    np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-5)
    expected = np.square(found - truth)[:, 1:].mean()
    np.testing.assert_allclose(evaluate(trained, dataset)["ode_score"], expected, rtol=1e-4)


def test_a_list_of_one_is_that_one(data):
    one, listed = make_model(GENN(units=4), 2.0), make_model([GENN(units=4)], 2.0)
    for model in (one, listed):
        model.adapt(data[0])
    listed.set_weights(one.get_weights())
    ours, theirs = (model.iterates(data[0]) for model in (one, listed))
    np.testing.assert_array_equal(ours.states, theirs.states)
    np.testing.assert_array_equal(ours.costs, theirs.costs)


def test_only_some_take_covariates(rng):
    ode = ode_layer(blown, components=1, covariates=("wind",), trainable=False, drag=0.8)
    model = make_model([GENN(units=4, scale=None), RK4Flow(ode, 0.5)])
    truth = rng.normal(size=(4, 12, 1)).cumsum(axis=1).astype("float32")
    wind = rng.normal(size=(4, 12, 1)).astype("float32")
    inputs = {"observations": truth, "covariates": wind}
    model.adapt(truth)
    assert model.covariates == 1
    states = model(inputs)
    assert np.any(states != model({**inputs, "covariates": 0 * wind}))
    model.compile("adam", UnsupervisedLoss(), run_eagerly=True)
    assert np.isfinite(model.fit(inputs, epochs=1, verbose=0).history["loss"]).all()
    with pytest.raises(
        InputError, match=r"0 covariates; .*the prior, GENN, 0, the prior, RK4Flow, 1"
    ):
        model(truth)


def test_each_that_is_known_is_asked_for_its_time_step(data, caplog):
    known = [RK4Flow(Lorenz63ODE(), step) for step in (0.01, 0.3)]
    model = make_model([known[0], GENN(units=4), known[1]], 1.0)
    model.adapt(data[0])
    model.compile("adam", run_eagerly=True)
    with caplog.at_level(logging.WARNING):
        model.fit(*(each[:2] for each in data), verbose=0)
    (warning,) = [each.message for each in caplog.records if "time step" in each.message]
    assert "Its time step, 0.3," in warning


def test_each_that_learns_is_identified(data):
    model = make_model()
    model.adapt(data[0])
    (losses,) = identify_prior(model, data[1], epochs=3)
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert not any(prior.trainable for prior in model.priors)


def test_a_learned_prior_beside_quasi_geostrophic_dynamics_on_maps_with_land(rng, tmp_path):
    shape = (2, 4, 8, 8, 1)
    truth = 0.1 * rng.normal(size=(2, 1, 8, 8, 1)) + 0.01 * rng.normal(size=shape)
    truth = truth.astype("float32")
    observations = np.where(rng.random(shape) < 0.5, truth, np.float32(np.nan))
    land = np.zeros((2, 8, 8), bool)
    land[:, :2, :3] = True
    inputs = {"observations": observations, "land": land}
    known = QuasiGeostrophicFlow(QuasiGeostrophicODE(50e3, layers=1, trainable=False), 0.1, parts=1)
    learned = BilinearAutoEncoder(2, 3, (1,), segment=4)
    solver = GradientSolver(FixedStepCell(0.1), iterations=2)
    model = FourDVarNet([known, learned], solver, prior_weight=(1.0, 2.0))
    model.adapt(inputs, truth)
    model.compile(keras.optimizers.Adam(1e-2), SupervisedLoss())
    losses = model.fit(inputs, truth, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    states = model.predict(inputs, verbose=0)
    dry = np.broadcast_to(land[:, None, ..., None], shape)
    np.testing.assert_array_equal(np.isnan(states), dry)
    poisoned = {**inputs, "observations": np.where(dry, np.float32(1e30), observations)}
    np.testing.assert_array_equal(model.predict(poisoned, verbose=0), states)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    given = {name: tf.constant(each.astype("float32")) for name, each in inputs.items()}
    np.testing.assert_array_equal(loaded(given), model(given))


@pytest.mark.parametrize(
    ("prior", "weight", "message"),
    [
        ([], 1.0, r"prior=\[\]; expected a Keras layer, built or not, or a list of one or more"),
        ([GENN(), None], 1.0, "expected a Keras layer, built or not, or a list"),
        ([GENN(), GENN()], (1.0, 1.0, 1.0), r"prior_weight=.*one number for all, or 2 of them"),
        ([GENN(), GENN()], (1.0, -1.0), "expected positive numbers"),
    ],
)
def test_what_is_none_is_refused(prior, weight, message):
    solver = GradientSolver(FixedStepCell(0.1))
    with pytest.raises(ValueError, match=message):
        FourDVarNet(prior, solver, prior_weight=weight)
