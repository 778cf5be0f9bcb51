import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.jobs import epochs_of
from tf4dvar.experiments import Experiment
from tf4dvar.layers import (
    GENN,
    BilinearODE,
    ConvCell,
    GradientSolver,
    Lorenz63ODE,
    Lorenz96ODE,
    RK4Flow,
)
from tf4dvar.models import FourDVarNet, UnsupervisedLoss
from tf4dvar.systems import Lorenz63, Lorenz96, sample_windows, trajectories
from tf4dvar.training import identify_prior, train


@pytest.fixture
def data(windows):
    return windows["observations"].values, windows["truth"].values


@pytest.mark.parametrize(
    "prior",
    [
        lambda: GENN(units=8),
        lambda: RK4Flow(Lorenz63ODE((-9.0, 9.0, 0.1, -1.5, 26.0, -0.9, -2.0, 0.1, 0.9)), 0.01),
    ],
)
def test_the_prior_learns_the_states_alone_and_is_frozen(prior, data):
    model = FourDVarNet(prior(), GradientSolver(ConvCell()))
    model.adapt(data[0])
    solver = [weight.numpy() for weight in model.solver.update.weights]
    (losses,) = identify_prior(model, data[1], epochs=5)
    assert losses[-1] < 0.9 * losses[0]
    for before, now in zip(solver, model.solver.update.weights, strict=True):
        np.testing.assert_array_equal(before, now)
    trained = {id(variable) for variable in model.trainable_variables}
    assert not trained & {id(variable) for variable in model.prior.variables}
    assert trained


@pytest.mark.parametrize(
    ("system", "ode", "found"),
    [
        (Lorenz63(), BilinearODE, {"linear": [[-10, 28, 0], [10, -1, 0], [0, 0, -8 / 3]]}),
        (Lorenz96(), lambda: Lorenz96ODE(np.linspace(-0.5, 0.4, 9)), {}),
    ],
)
def test_the_equations_of_a_system_are_found_from_its_states(system, ode, found):
    states = sample_windows(system, 12, 48, seed=1)
    model = FourDVarNet(RK4Flow(ode(), system.time_step), GradientSolver(ConvCell()))
    model.adapt(states)
    ((_, after),) = identify_prior(model, states, epochs=50)
    assert after < 1e-12
    for weight in model.prior.ode.weights:
        if weight.name in found:
            np.testing.assert_allclose(weight, found[weight.name], atol=2e-3)
    start = sample_windows(system, 4, 2, seed=2)[:, 0]
    ahead = trajectories(system, start, 21)[:, 1:]
    np.testing.assert_allclose(model.prior.ahead(start, tf.constant(20)), ahead, atol=2e-3)


@pytest.mark.long
def test_training_keeps_the_identified_prior_also_when_resumed(tmp_path):
    experiment = Experiment(
        "l63-unsup-genn-conv",
        "small",
        "l63",
        lambda: FourDVarNet(keras.layers.Dense(3), GradientSolver(ConvCell((2, 2)))),
        *("unsup", "dense", "conv"),
        loss=UnsupervisedLoss(),
        windows=64,
        batch_size=16,
        steps_per_epoch=2,
        stages=((0.0, 2),),
        identification_epochs=2,
    )
    whole = train(experiment, tmp_path / "whole", epochs=3)

    out = tmp_path / "stopped"
    stopped = train(experiment, out, epochs=1)
    config = out / "config.json"
    config.write_text(config.read_text().replace('"epochs": 1', '"epochs": 3'))
    identified = stopped.prior.get_weights()
    resumed = train(experiment, out, epochs=3, resume=True)
    assert epochs_of(out) == [0, 1, 2]
    for before, now in zip(identified, resumed.prior.get_weights(), strict=True):
        np.testing.assert_array_equal(before, now)
    # The schedule follows from the number of epochs in all, which differed in the first epoch
    # only by the end it was meant for: the learning rate began the same.
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    loaded = keras.saving.load_model(out / "model.keras")
    assert not loaded.prior.trainable
    assert len(loaded.trainable_variables) == len(whole.trainable_variables)
