"""A model whose prior is forced by what is known in time."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import xarray as xr

from tests.cli.test_app import succeed
from tf4dvar.data import ObservationPlan, open_data, simulate_dataset, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.export import save
from tf4dvar.layers import FixedStepCell, GradientSolver, LSTMCell, RK4Flow, ode_layer
from tf4dvar.models import FourDVarNet, UnsupervisedLoss, load_model
from tf4dvar.systems import System

pytestmark = pytest.mark.long


@keras.saving.register_keras_serializable(package="tests")
def blown(state, wind, drag):
    return [drag * (wind - state[..., 0])]


SYSTEM = System(
    blown,
    components=("speed",),
    time_step=0.5,
    initial=lambda count, rng: rng.normal(size=(count, 1)),
    covariates={"wind": lambda time: 4.0 * np.sign(np.sin(time))},
    drag=0.8,
)


@pytest.fixture(scope="module")
def data():
    dataset = simulate_dataset(SYSTEM, ObservationPlan((0,), 12, 0.01), 32, 40, seed=2)
    names = ("observations", "covariates", "truth")
    return [dataset[name].values.astype("float32") for name in names]


@pytest.fixture(scope="module")
def trained(data):
    keras.utils.set_random_seed(0)
    observations, covariates, truth = data
    ode = ode_layer(blown, components=1, covariates=("wind",), trainable=False, drag=0.8)
    solver = GradientSolver(LSTMCell(units=4), iterations=4)
    model = FourDVarNet(RK4Flow(ode, 0.5), solver)
    model.adapt(observations, truth)
    model.compile(keras.optimizers.Adam(1e-2, clipnorm=1.0))
    inputs = {"observations": observations, "covariates": covariates}
    losses = model.fit(inputs, truth, batch_size=16, epochs=10, verbose=0).history["loss"]
    return model, inputs, losses


def test_it_trains_by_both_losses_and_the_covariates_count(trained, data):
    model, inputs, losses = trained
    assert losses[-1] < 0.7 * losses[0]
    states = model.predict(inputs, verbose=0)
    still = model.predict({**inputs, "covariates": 0 * inputs["covariates"]}, verbose=0)
    truth = data[-1]
    assert np.square(states - truth).mean() < 0.5 * np.square(still - truth).mean()
    twin = keras.models.clone_model(model)
    twin.adapt(*data[::2])
    twin.compile("adam", UnsupervisedLoss())
    assert np.isfinite(twin.fit(inputs, epochs=1, verbose=0).history["loss"]).all()


def test_it_comes_back_in_every_form(trained, tmp_path):
    model, inputs, _ = trained
    states = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(inputs, verbose=0), states)
    np.testing.assert_allclose(model.iterates(inputs).states[-1], states, rtol=1e-4, atol=1e-4)
    loaded = tf.saved_model.load(str(save(model, tmp_path / "served")))
    given = {name: tf.constant(values) for name, values in inputs.items()}
    served = loaded.signatures["serving_default"](**given)["state"]
    np.testing.assert_allclose(served, states, rtol=1e-4, atol=1e-4)


def test_what_it_is_not_given_is_said(trained):
    model, inputs, _ = trained
    with pytest.raises(ValueError, match=r"Received 0 covariates; .* the prior, RK4Flow, 1"):
        model.predict(inputs["observations"], verbose=0)


def test_a_data_set_gives_them_by_name(trained, data):
    model, inputs, _ = trained
    observations, covariates, truth = data
    labelled = xr.Dataset(
        {
            "observations": (("window", "time", "component"), observations),
            "covariates": (("window", "time", "covariate"), np.tile(covariates, 2)),
        },
        {"component": ["speed"], "covariate": ["wind", "rain"], "time": 0.5 * np.arange(40)},
    )
    labelled["covariates"][..., 1] *= np.nan
    twin = keras.models.clone_model(model)
    twin.adapt(labelled.sel(covariate=["wind"]), truth)
    assert twin.covariate_names == ("wind",)
    twin.set_weights(model.get_weights())
    states = twin.reconstruct(labelled)["state"]
    np.testing.assert_array_equal(states, model.predict(inputs, verbose=0))
    with pytest.raises(InputError, match="depend on wind, known in time: expected a variable"):
        twin.reconstruct(labelled.drop_vars("covariates"))
    with pytest.raises(InputError, match="has the covariates rain; the dynamics need wind"):
        twin.reconstruct(labelled.sel(covariate=["rain"]))


def test_a_series_has_them_beside_its_observations(trained, data):
    model, *_ = trained
    observations, covariates, truth = data
    series = xr.Dataset(
        {"speed": ("time", observations[0, :, 0]), "wind": ("time", covariates[0, :, 0])},
        {"time": 0.5 * np.arange(40)},
    )
    opened = open_data(series, covariates=["wind"])
    twin = keras.models.clone_model(model)
    twin.adapt(opened, opened.assign(speed=("time", truth[0, :, 0])), window=40)
    twin.set_weights(model.get_weights())
    states = twin.reconstruct(opened)
    assert set(states.variables) == {"speed", "time"}
    inputs = {"observations": observations[:1], "covariates": covariates[:1]}
    np.testing.assert_allclose(
        states["speed"], model.predict(inputs, verbose=0)[0, :, 0], rtol=1e-6
    )
    twin.compile("adam", UnsupervisedLoss())
    assert np.isfinite(twin.fit(opened, epochs=1, verbose=0).history["loss"]).all()
    with pytest.raises(InputError, match="depend on wind, known in time"):
        twin.reconstruct(opened.drop_vars("covariates"))


def test_it_slides_over_a_series(tmp_path):
    series = simulate_dataset(SYSTEM, ObservationPlan((0,), 3, 0.01), 2, 50, seed=3)
    ode = ode_layer(blown, components=1, covariates=("wind",), trainable=False, drag=0.8)
    model = FourDVarNet(RK4Flow(ode, 0.5), GradientSolver(FixedStepCell(0.1), iterations=2))
    model.adapt(series)
    model.save(tmp_path / "model.keras")
    write_dataset(series, tmp_path / "series.nc")
    asked = ("--data", tmp_path / "series.nc", "--window", 20, "--advance", 10)
    told = ("--model", tmp_path / "model.keras", "--out", tmp_path / "out.nc")
    succeed("cycle", "model", *asked, *told)
    last = series.isel(time=slice(-20, None))
    given = {name: last[name].values for name in ("observations", "covariates")}
    expected = model.predict(given, verbose=0)
    with xr.open_dataset(tmp_path / "out.nc") as found:
        np.testing.assert_allclose(found["state"][:, -10:], expected[:, -10:], rtol=1e-4, atol=1e-4)
