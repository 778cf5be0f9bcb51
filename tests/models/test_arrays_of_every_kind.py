"""Masked, labelled and lazy arrays are checked and worked on as NumPy's; adapt reads pipelines."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
import xarray as xr

from tf4dvar.errors import InputError
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.layers import FixedStepCell, GradientSolver, LinearObservation, Normalisation
from tf4dvar.models import FourDVarNet

DIMS = ("window", "time", "component")


class Lazy:
    """What dask's arrays are to NumPy: computed when they are asked for, masks and all."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __len__(self):
        return len(self.array)


def masked(array):
    fill = np.float32(9.96921e36)
    return np.ma.masked_array(np.where(np.isnan(array), fill, array), np.isnan(array))


KINDS = {
    "masked": masked,
    "labelled": lambda array: xr.DataArray(array, dims=DIMS),
    "lazy": Lazy,
    "lazy and masked": lambda array: Lazy(masked(array)),
    "tensor": tf.constant,
}


def make_model():
    model = FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1), iterations=1))
    model.compile("sgd", run_eagerly=True)
    return model


@pytest.fixture
def data(rng):
    truth = rng.normal(size=(6, 10, 3)).astype("float32") * [4, 2, 1] + 270
    observations = np.where(rng.random(truth.shape) < 0.4, truth, np.nan)
    truth[:, -1] = np.nan
    return observations.astype("float32"), truth.astype("float32")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_what_numpy_gives(kind, data):
    results = []
    for convert in (np.asarray, KINDS[kind]):
        keras.utils.set_random_seed(0)
        observations, truth = map(convert, data)
        model = make_model()
        model.adapt(observations)
        history = model.fit(
            observations,
            truth,
            validation_data=(observations, truth),
            verbose=0,
            shuffle=False,
        ).history
        results.append(
            [
                model.normalisation.mean.numpy(),
                history["loss"],
                history["val_loss"],
                model.evaluate(observations, truth, verbose=0),
                model.predict(observations, verbose=0),
                reconstruct(model, observations).states,
                model.iterates(observations).states,
                model.train_on_batch(observations, truth),
            ]
        )
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["labelled", "lazy", "masked"])
def test_every_kind_is_checked(kind, data):
    convert = KINDS[kind]
    observations, truth = data
    model = make_model()
    model.adapt(observations)
    with pytest.raises(InputError, match="None of the true states"):
        model.fit(convert(observations), convert(truth * np.nan), verbose=0)
    with pytest.raises(InputError, match="None of the true states"):
        model.evaluate(convert(observations), convert(truth * np.nan), verbose=0)
    with pytest.raises(InputError, match="infinite observations"):
        model.predict(convert(np.where(np.isnan(observations), np.inf, observations)), verbose=0)
    with pytest.raises(InputError, match="none but NaN"):
        make_model().adapt(convert(observations * np.nan))


def test_a_pipeline_is_adapted_to_as_the_array_is(data):
    observations, truth = (values + 1e5 for values in data)
    pipeline = tf.data.Dataset.from_tensor_slices((observations, truth)).batch(4)

    def with_variance(x, y):
        return {"observations": x, "noise_variance": tf.ones_like(x)}, y

    for given, args in (
        (pipeline.map(lambda x, y: x), (observations,)),
        (pipeline, (observations, truth)),
        (pipeline.map(with_variance), (observations, truth)),
    ):
        streamed, whole = make_model(), make_model()
        streamed.adapt(given)
        whole.adapt(*args)
        for name in ("mean", "std"):
            ours, theirs = (getattr(each.normalisation, name) for each in (streamed, whole))
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    with pytest.raises(InputError, match="endless"):
        make_model().adapt(pipeline.repeat())


def test_a_pipeline_tells_an_operators_scales(data):
    observations, truth = data
    pipeline = tf.data.Dataset.from_tensor_slices((observations[..., :2], truth)).batch(4)
    model = FourDVarNet(
        keras.layers.Dense(3),
        GradientSolver(FixedStepCell(0.1)),
        observation=LinearObservation(np.eye(3)[:2]),
    )
    model.adapt(pipeline)
    np.testing.assert_allclose(model.normalisation.mean, np.nanmean(truth, axis=(0, 1)), rtol=1e-6)
    expected = np.nanmean(observations[..., :2], axis=(0, 1))
    np.testing.assert_allclose(model.observation_normalisation().mean, expected, rtol=1e-6)


def test_a_scaling_takes_masked_arrays(data):
    ours, theirs = Normalisation(), Normalisation()
    ours.adapt(masked(data[0]))
    theirs.adapt(data[0])
    np.testing.assert_array_equal(ours.mean, theirs.mean)


def test_truth_that_the_scaling_does_not_fit_is_named(rng, caplog):
    """288 +- 5 K and 101325 +- 800 Pa are observed, 0.008 +- 0.002 never."""
    caplog.set_level(logging.WARNING, logger="tf4dvar")
    means, deviations = [288, 101325, 0.008], [5, 800, 0.002]
    truth = (rng.normal(size=(8, 20, 3)) * deviations + means).astype("float32")
    observations = np.where(np.arange(20)[:, None] % 4 == 0, truth, np.nan)
    observations[..., 2] = np.nan
    model = make_model()
    model.adapt(observations)
    model.fit(observations, truth, verbose=0)
    assert "Component 2 of the true states has the mean 0.00" in caplog.text
    assert "adapt(observations, truth)" in caplog.text
    caplog.clear()
    model.adapt(observations, truth)
    model.fit(observations, truth, verbose=0)
    assert caplog.text == ""
    make_model().fit(observations, truth, verbose=0)  # never adapted
    assert "Component 0 (and 2 others) of the true states has the mean 2" in caplog.text
