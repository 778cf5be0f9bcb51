"""Mean, standard deviation and samples of a model with an uncertainty."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import xarray as xr

from tests.cli.test_app import fail, succeed
from tf4dvar import export
from tf4dvar.errors import InputError
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    FixedStepCell,
    GaussianPosterior,
    GradientSolver,
    LinearObservation,
    UNetFirstGuess,
)
from tf4dvar.models import FourDVarNet, UnsupervisedLoss

TOLD = {"weighted": True, "background": True, "outputs": 3}


def network(**settings):
    return AttentionFirstGuess(4, 16, 1, 2, **TOLD | settings)


def make_model(uncertainty=None, iterations=1, **settings):
    model = FourDVarNet(
        GENN(4),
        GradientSolver(FixedStepCell(0.1), iterations),
        AttentionFirstGuess(4, 8, 1, 2),
        uncertainty=uncertainty,
        **settings,
    )
    model.build((None, None, 3))
    model.normalisation.mean.assign([1.0, 2.0, 3.0])
    model.normalisation.std.assign([2.0, 4.0, 8.0])
    return model


@pytest.fixture(scope="module")
def model():
    return make_model(GaussianPosterior(network()))


@pytest.fixture
def data(rng):
    truth = rng.normal(size=(6, 10, 3)).astype("float32") * 4
    observations = np.where(rng.random(truth.shape) < 0.4, truth, np.nan).astype("float32")
    return observations, np.where(rng.random(truth.shape) < 0.7, truth, np.nan).astype("float32")


def test_the_mean_is_the_reconstruction(model, data):
    mean, std = model.posterior(data[0], batch_size=4)
    np.testing.assert_allclose(mean, model.predict(data[0], verbose=0), rtol=1e-5, atol=1e-5)
    assert std.shape == mean.shape
    assert (std > 0).all()


def test_samples_are_those_of_a_window_whatever_else_is_asked(model, data):
    samples = model.sample(data[0], 3, seed=5)
    assert samples.shape == (3, *data[0].shape)
    np.testing.assert_allclose(samples, model.sample(data[0], 3, 5, batch_size=4), atol=1e-4)
    np.testing.assert_allclose(samples[:, :2], model.sample(data[0][:2], 3, 5), atol=1e-4)
    assert not np.allclose(samples, model.sample(data[0], 3, seed=6), atol=0.1)


def test_samples_have_its_mean_and_deviation(model, data):
    number = 2000
    samples, (mean, std) = model.sample(data[0], number), model.posterior(data[0])
    scaled = (samples - mean) / std
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=5 / np.sqrt(number))
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, atol=5 / np.sqrt(2 * number))


@pytest.mark.long
def test_the_reconstruction_is_trained_as_without_it(data):
    trained = []
    for each in (None, GaussianPosterior(network())):
        keras.utils.set_random_seed(1)
        model = make_model(each)
        before = [weight.numpy() for weight in each.variables] if each else []
        model.compile(keras.optimizers.Adam(1e-2, clipnorm=1.0), jit_compile=False)
        model.fit(*data, epochs=3, batch_size=3, shuffle=False, verbose=0)
        trained.append(model.predict(data[0], verbose=0))
    np.testing.assert_allclose(trained[1], trained[0], rtol=1e-4, atol=1e-4)
    after = [weight.numpy() for weight in each.variables]
    assert all((a != b).any() for a, b in zip(after, before, strict=True) if b.ndim > 1)


@pytest.mark.slow
def test_it_learns_what_is_not_known(rng, tmp_path):
    """A constant of variance 1, observed once: given that, its variance is noise / (1 + noise)."""
    noise = rng.choice([0.25, 1.0], size=(2000, 1, 1))
    truth = np.broadcast_to(rng.normal(size=(2000, 1, 1)), (2000, 8, 1)).copy()
    observations = np.full(truth.shape, np.nan)
    observations[:, 3:4] = truth[:, 3:4] + np.sqrt(noise) * rng.normal(size=noise.shape)
    inputs = {
        "observations": observations,
        "noise_variance": np.broadcast_to(noise, truth.shape).copy(),
    }
    guess = AttentionFirstGuess(4, 16, 1, 2, weighted=True)
    model = FourDVarNet(
        GENN(4),
        GradientSolver(FixedStepCell(0.1), 0),
        guess,
        uncertainty=GaussianPosterior(network()),
        noise_variance=1.0,
    )
    model.adapt(inputs, truth)
    rate = keras.optimizers.schedules.CosineDecay(5e-3, 15 * 40)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), jit_compile=False)
    model.fit(inputs, truth, epochs=15, batch_size=50, verbose=0)
    mean, std = model.posterior(inputs)
    for each in (0.25, 1.0):
        of = noise[:, 0, 0] == each
        found, error = np.square(std[of]).mean(), np.square(mean - truth)[of].mean()
        np.testing.assert_allclose(found, error, rtol=0.15)
        np.testing.assert_allclose(found, each / (1 + each), rtol=0.4)
    # Of a constant nothing changes in a window.
    samples = model.sample({name: of[:200] for name, of in inputs.items()}, 5)
    assert samples.std(axis=2).mean() < 0.3 * samples.std(axis=(0, 2)).mean()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.posterior(inputs).std, std)


def test_labelled_windows_come_back_in_their_order(data):
    observations = xr.DataArray(
        data[0],
        dims=("window", "time", "component"),
        coords={"time": np.arange(10.0), "component": ["x", "y", "z"]},
    )
    model = make_model(GaussianPosterior(network()))
    model.adapt(observations.to_dataset(name="observations"))
    expected = model.posterior(observations)
    turned = model.posterior(observations[..., ::-1])
    for one, other in zip(turned, expected, strict=True):
        np.testing.assert_allclose(one[..., ::-1], other, rtol=1e-5, atol=1e-5)
    samples = (model.sample(each, 2) for each in (observations[..., ::-1], observations))
    np.testing.assert_allclose(next(samples)[..., ::-1], next(samples), rtol=1e-4, atol=1e-4)


def test_what_is_observed_may_be_another_than_the_state(data, rng):
    sums = LinearObservation(np.array([[1.0, 1.0, 0.0]]))
    model = FourDVarNet(
        GENN(4),
        GradientSolver(FixedStepCell(0.1), 1),
        AttentionFirstGuess(4, 8, 1, 2, components=3),
        sums,
        uncertainty=GaussianPosterior(network(components=3)),
    )
    model.build((None, None, 1))
    mean, std = model.posterior(data[0][..., :1])
    assert mean.shape == std.shape == (6, 10, 3)


def test_land_is_not_known(rng):
    model = FourDVarNet(
        keras.layers.Dense(1),
        GradientSolver(FixedStepCell(0.1), 1),
        uncertainty=GaussianPosterior(UNetFirstGuess(4, 1, segment=4, **TOLD)),
    )
    values = rng.normal(size=(2, 4, 6, 8, 1)).astype("float32")
    land = np.zeros((2, 6, 8), bool)
    land[:, :2, :3] = True
    model.build(values.shape)
    inputs = {"observations": values, "land": land}
    on_land = np.broadcast_to(land[:, np.newaxis, ..., np.newaxis], values.shape)
    mean, std = model.posterior(inputs)
    for states in (mean, std, *model.sample(inputs, 2)):
        np.testing.assert_array_equal(np.isnan(states), on_land)
    loss = model.likelihood_loss(inputs, values, tf.zeros(values.shape))
    other = model.likelihood_loss(inputs, np.where(on_land, 1e6, values), tf.zeros(values.shape))
    assert loss == other


@pytest.mark.long
def test_in_double_precision_too(data):
    double = {"dtype": "float64"}
    model = FourDVarNet(
        GENN(4, **double),
        GradientSolver(FixedStepCell(0.1, **double), 1, **double),
        uncertainty=GaussianPosterior(network(**double), **double),
        **double,
    )
    model.build((None, None, 3))
    assert model.posterior(data[0]).std.dtype == model.sample(data[0], 2).dtype == np.float64


def test_a_pipeline_is_refused(model, data):
    with pytest.raises(InputError, match="expected arrays, or a data set"):
        model.posterior(tf.data.Dataset.from_tensor_slices(data[0]).batch(2))


def test_without_one_it_says_so(data):
    for ask in (lambda m: m.posterior(data[0]), lambda m: m.sample(data[0], 2)):
        with pytest.raises(InputError, match="uncertainty=GaussianPosterior"):
            ask(make_model())


def test_it_needs_true_states(data):
    model = make_model(GaussianPosterior(network()))
    model.compile("adam", UnsupervisedLoss(), run_eagerly=True)
    with pytest.raises(InputError, match="learned from them"):
        model.fit(data[0], verbose=0)
    with pytest.raises(InputError, match="one sample or more"):
        model.sample(data[0], 0)


def test_its_network_is_no_first_guess():
    with pytest.raises(InputError, match="for GaussianPosterior"):
        FourDVarNet(GENN(), GradientSolver(FixedStepCell(0.1)), network())


@pytest.mark.long
def test_an_exported_one_says_the_same(model, data, tmp_path):
    served = tf.saved_model.load(export.save(model, tmp_path)).signatures
    unknown = np.full(data[0].shape, np.nan, "float32")
    given = {"observations": data[0], "noise_variance": unknown, "background": unknown}
    found = served["posterior"](**{name: tf.constant(of) for name, of in given.items()})
    mean, std = model.posterior(data[0])
    np.testing.assert_allclose(found["state"], mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["std"], std, rtol=1e-5, atol=1e-6)
    assert "posterior" not in tf.saved_model.load(export.save(make_model(), tmp_path)).signatures


@pytest.mark.long
def test_files_carry_it(model, windows, tmp_path):
    few = windows.isel(window=slice(3), time=slice(24))
    model.adapt(few)
    few.to_netcdf(tmp_path / "windows.nc")
    model.save(tmp_path / "model.keras")
    given = ("reconstruct", tmp_path / "model.keras", "--data", tmp_path / "windows.nc")
    succeed(*given, "--out", tmp_path / "states.nc", "--samples", 2)
    mean, std = model.posterior(few)
    with xr.open_dataset(tmp_path / "states.nc") as written:
        np.testing.assert_allclose(written["state"], mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(written["state_std"], std, rtol=1e-4, atol=1e-5)
        assert written["state_std"].attrs["units"] == few["observations"].attrs["units"]
        samples = model.sample(few, 2)
        np.testing.assert_allclose(written["sample"], samples, rtol=1e-3, atol=1e-3)
    make_model().save(tmp_path / "without.keras")
    without = ("reconstruct", tmp_path / "without.keras", *given[2:])
    assert "GaussianPosterior" in fail(*without, "--out", tmp_path / "s.nc", "--samples", 2)
    found = model.reconstruct(few)
    np.testing.assert_allclose(found["state_std"], std, rtol=1e-5)
    figure = tmp_path / "figure.png"
    succeed("plot", *given[2:], "--states", tmp_path / "states.nc", "--out", figure)
    assert figure.is_file()
    assert not (tmp_path / "s.nc").exists()


@pytest.mark.long
def test_series_come_with_errors_beside_each_variable(rng, tmp_path):
    """Of one window they are those of `posterior`, on the scale of the transform."""
    steps = np.arange(8.0)
    u, chlorophyll = rng.normal(size=8), np.exp(rng.normal(size=8))
    u[3] = np.nan
    data = xr.Dataset({"u": ("time", u), "chl": ("time", chlorophyll)}, {"time": steps})
    data["u"].attrs = {"units": "m/s"}
    model = FourDVarNet(
        GENN(4),
        GradientSolver(FixedStepCell(0.1), 1),
        uncertainty=GaussianPosterior(network()),
    )
    model.adapt(data, window=8, transforms={"chl": "log10"})
    data.to_netcdf(tmp_path / "series.nc")
    model.save(tmp_path / "model.keras")
    given = ("reconstruct", tmp_path / "model.keras", "--data", tmp_path / "series.nc")
    succeed(*given, "--out", tmp_path / "filled.nc")
    inputs = np.stack([u, np.log10(chlorophyll)], axis=-1)[np.newaxis]
    mean, std = model.posterior(inputs)
    with xr.open_dataset(tmp_path / "filled.nc") as filled:
        assert {*filled.data_vars} == {"u", "chl", "u_error", "chl_error"}
        np.testing.assert_allclose(filled["u"], mean[0, :, 0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(filled["u_error"], std[0, :, 0], rtol=1e-4)
        assert filled["u_error"].attrs["units"] == "m/s"
        np.testing.assert_allclose(np.log10(filled["chl"]), mean[0, :, 1], atol=1e-5)
        np.testing.assert_allclose(filled["chl_error"], std[0, :, 1], rtol=1e-4)
        told = "standard deviation of the error of log10(chl)"
        assert filled["chl_error"].attrs == {"long_name": told}
        xr.testing.assert_allclose(model.reconstruct(data), filled.load(), rtol=1e-4)
    assert "no file of windows" in fail(*given, "--out", tmp_path / "s.nc", "--samples", 2)
    # Of a longer one, windows overlap and are joined.
    longer = xr.concat([data, data, data], "time").assign_coords(time=np.arange(24.0))
    longer.to_netcdf(tmp_path / "longer.nc")
    succeed(*given[:3], tmp_path / "longer.nc", "--out", tmp_path / "filled_longer.nc")
    with xr.open_dataset(tmp_path / "filled_longer.nc") as filled:
        assert filled.sizes["time"] == 24
        assert bool((filled["u_error"] > 0).all())
