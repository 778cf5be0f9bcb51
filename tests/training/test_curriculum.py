import keras
import numpy as np
import pytest

from tf4dvar.layers import FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet
from tf4dvar.training import Curriculum

STAGES = ((0.0, 1), (0.3, 2), (0.6, 3))


@pytest.fixture(scope="module")
def model():
    model = FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1)))
    model.build((None, None, 3))
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    return model


def fit(model, curriculum, initial_epoch=0, epochs=10):
    x = np.ones((2, 8, 3), "float32")
    return model.fit(
        x, x, epochs=epochs, initial_epoch=initial_epoch, callbacks=[curriculum], verbose=0
    ).history


@pytest.mark.long
def test_iterations_rise_and_the_learning_rate_falls_with_the_epochs(model):
    history = fit(model, Curriculum(1e-3, STAGES, epochs=10))
    assert history["iterations"] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    rates = np.array(history["learning_rate"])
    np.testing.assert_allclose(rates[[0, 5]], [1e-3, 0.5e-3], rtol=1e-5)
    assert np.all(np.diff(rates) < 0)


def test_with_a_warm_up_the_learning_rate_rises_first(model):
    curriculum = Curriculum(1e-3, ((0.0, 1),), epochs=10, warm_up=0.3)
    rates = np.array(fit(model, curriculum)["learning_rate"])
    assert rates.argmax() == 3
    np.testing.assert_allclose(rates[0], 1e-5, rtol=1e-5)
    assert np.all(np.diff(rates[:4]) > 0)
    assert np.all(np.diff(rates[3:]) < 0)


def test_a_resumed_training_has_the_same_schedule(model):
    whole = fit(model, Curriculum(1e-3, STAGES, epochs=10))
    rest = fit(model, Curriculum(1e-3, STAGES, epochs=10), initial_epoch=5)
    for name in ("iterations", "learning_rate"):
        assert rest[name] == whole[name][5:]


def test_raising_the_iterations_keeps_the_optimiser(model):
    before = int(model.optimizer.iterations)
    fit(model, Curriculum(1e-3, STAGES, epochs=10))
    assert int(model.optimizer.iterations) == before + 10


def test_the_time_budget_counts_what_was_used_before(model):
    spent = Curriculum(1e-3, STAGES, epochs=10, minutes=1.0, elapsed=59.999)
    history = fit(model, spent)
    assert len(history["loss"]) == 1
    assert history["iterations"] == [3]


def test_the_schedule_is_that_of_the_time_after_identification(model):
    def first(**spent):
        curriculum = Curriculum(1e-3, STAGES, epochs=1000, minutes=1.0, **spent)
        return fit(model, curriculum, epochs=1)["iterations"]

    assert first(elapsed=40.0) == [3]
    assert first(elapsed=40.0, identification=40.0) == [1]
    assert first(elapsed=50.0, identification=40.0) == [2]
    assert first(elapsed=90.0, identification=90.0) == [3]
