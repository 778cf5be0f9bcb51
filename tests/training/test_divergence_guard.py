import logging

import keras
import numpy as np
import pytest

from tf4dvar.layers import FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet
from tf4dvar.training import DivergenceGuard


class Poison(keras.callbacks.Callback):
    """Spoils every weight before given batches, as an exploded step does."""

    def __init__(self, batches, value=np.nan):
        super().__init__()
        self.batches = batches
        self.value = value
        self.seen = 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.seen in self.batches:
            for weight in self.model.trainable_variables:
                weight.assign(np.full(weight.shape, self.value))
        self.seen += 1


def fit(poisoned_batches, patience=3, callbacks=()):
    model = FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1), iterations=2))
    model.build((None, None, 3))
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    x = np.random.default_rng(0).normal(size=(16, 8, 3)).astype("float32")
    guard = DivergenceGuard(patience)
    history = model.fit(
        x,
        x,
        batch_size=4,
        epochs=4,
        verbose=0,
        callbacks=[Poison(poisoned_batches), *callbacks, guard],
    )
    return model, guard, history.history


@pytest.mark.long
def test_a_healthy_training_is_left_alone():
    model, guard, history = fit([])
    assert guard.restores == 0
    assert len(history["loss"]) == 4
    np.testing.assert_allclose(float(model.optimizer.learning_rate), 1e-3)


@pytest.mark.long
def test_weights_come_back_and_the_learning_rate_halves(caplog):
    with caplog.at_level(logging.WARNING):
        model, guard, history = fit([6])
    assert guard.restores == 1
    assert "epoch 2, batch 3" in caplog.text
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert int(model.optimizer.iterations) == 16


def test_training_stops_when_it_happens_too_often(caplog):
    model, _, history = fit([1, 2, 5], patience=2)
    assert len(history["loss"]) == 2
    assert "training stops with the last good weights" in caplog.text
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize(("value", "restores"), [(100.0, 1), (3.0, 0)])
def test_a_loss_that_explodes_and_stays_finite_is_undone(caplog, value, restores):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    guard = DivergenceGuard()
    callbacks = [Poison([6], value), guard]
    history = model.fit(x, x, batch_size=4, epochs=4, verbose=0, callbacks=callbacks).history
    first, exploded, after, _ = history["loss"]
    assert np.isfinite(exploded)
    assert guard.restores == restores
    assert (exploded > 1000 * first) == bool(restores)
    assert (after < 2 * first) == bool(restores)
    assert ("in epoch 2, from" in caplog.text) == bool(restores)


@pytest.mark.parametrize(("least", "restores"), [("1e-5", 2), ("0.5", 1)])
def test_a_resumed_training_is_compared_with_the_epochs_before(least, restores):
    """Losses and restores are strings where they are read from a log."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    history = [{"loss": loss, "restores": count} for loss, count in ((least, "0"), ("0", "1"))]
    guard = DivergenceGuard(history=history)
    model.fit(x, x, epochs=1, verbose=0, callbacks=[guard])
    assert guard.restores == restores


@pytest.mark.long
def test_the_learning_rate_stays_halved_with_and_without_a_schedule():
    for schedule in ([], [keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3)]):
        model, _, _ = fit([6], callbacks=schedule)
        np.testing.assert_allclose(float(model.optimizer.learning_rate), 0.5e-3, rtol=1e-6)


class LastStep(keras.callbacks.Callback):
    """The last step of an epoch spoils a weight; its loss was that of the weights before."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 3 and self.params["epochs"] and self.epoch == 1:
            weight = self.model.trainable_variables[0]
            weight.assign(np.full(weight.shape, np.inf))

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def test_weights_that_are_spoilt_by_the_last_step_of_an_epoch_are_not_kept(caplog):
    model, guard, history = fit([], callbacks=[LastStep()])
    assert guard.restores == 1
    assert "Weights became NaN or infinite at the end of epoch 2" in caplog.text
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert history["restores"] == [0, 1, 1, 1]
    assert np.isfinite(history["loss"]).all()


def test_the_window_that_overflows_is_named(caplog):
    """A state of 1e30 has a squared error beyond single precision."""
    model = FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1), iterations=1))
    model.build((None, None, 3))
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
    observations = np.zeros((8, 8, 3), "float32")
    observations[5, 2, 1] = 1e30
    truth = np.zeros_like(observations)
    before = model.get_weights()
    model.fit(
        observations,
        truth,
        batch_size=4,
        epochs=1,
        shuffle=False,
        verbose=0,
        callbacks=[DivergenceGuard()],
    )
    assert "epoch 1, batch 2 (its window 1, counted from 0, went farthest astray)" in caplog.text
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.long
@pytest.mark.parametrize("patience", [0])
def test_without_patience_it_stops_at_once(patience):
    _, _, history = fit([2], patience)
    assert len(history["loss"]) == 1


def test_epochs_without_a_loss_do_not_make_it_blind():
    """Neither one that is not finite nor one that was restored says how small a loss was."""
    model = FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1), iterations=1))
    model.build((None, None, 3))
    model.compile("sgd")
    for first in (np.nan, np.inf, 0.0):
        guard = DivergenceGuard(history=[{"loss": first}, {"loss": 0.5}])
        guard.set_model(model)
        guard.on_train_begin()
        guard.on_epoch_begin(2)
        guard.on_epoch_end(2, {"loss": 400.0})
        assert guard.restores == 0
        guard.on_epoch_end(2, {"loss": 600.0})
        assert guard.restores == 1
