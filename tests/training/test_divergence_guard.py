import logging

import keras
import numpy as np
import pytest

from tf4dvar.layers import LSTMCell, TwoScaleGENN
from tf4dvar.models import FourDVarNet
from tf4dvar.training import DivergenceGuard


class Poison(keras.callbacks.Callback):
    """Makes every weight NaN after given batches, as an exploded step does."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches
        self.seen = 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.seen in self.batches:
            for weight in self.model.trainable_variables:
                weight.assign(np.full(weight.shape, np.nan))
        self.seen += 1


def fit(poisoned_batches, patience=3):
    model = FourDVarNet(TwoScaleGENN(units=2), LSTMCell(units=2), iterations=2)
    model.build((None, None, 3))
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    x = np.random.default_rng(0).normal(size=(16, 8, 3)).astype("float32")
    guard = DivergenceGuard(patience)
    history = model.fit(
        x, x, batch_size=4, epochs=4, verbose=0, callbacks=[Poison(poisoned_batches), guard]
    )
    return model, guard, history.history


def test_a_healthy_training_is_left_alone():
    model, guard, history = fit([])
    assert guard.restores == 0
    assert len(history["loss"]) == 4
    np.testing.assert_allclose(float(model.optimizer.learning_rate), 1e-3)


def test_weights_come_back_and_the_learning_rate_halves(caplog):
    with caplog.at_level(logging.WARNING):
        model, guard, history = fit([6])
    assert guard.restores == 1
    assert "epoch 2, batch 3" in caplog.text
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    # Halved when it happened, and again by the factor at the beginning of each later epoch
    # in which no schedule had set it anew.
    assert float(model.optimizer.learning_rate) < 1e-3
    assert int(model.optimizer.iterations) == 16


def test_training_stops_when_it_happens_too_often(caplog):
    model, _, history = fit([1, 2, 5], patience=2)
    assert len(history["loss"]) == 2
    assert "training stops with the last good weights" in caplog.text
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("patience", [0])
def test_without_patience_it_stops_at_once(patience):
    _, _, history = fit([2], patience)
    assert len(history["loss"]) == 1
