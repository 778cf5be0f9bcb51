import keras
import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tests.layers.test_convolution import by_sums
from tf4dvar.errors import InputError
from tf4dvar.layers import BilinearAutoEncoder

BOTH = ("reflected", "periodic")


@pytest.mark.parametrize("scales", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize("steps", [3, 7])
def test_layer_of_windows_of_any_length(scales, steps, rng, tmp_path):
    values = rng.normal(size=(2, steps, 5, 6, 2)).astype("float32")
    prior = BilinearAutoEncoder(4, 3, scales, segment=3, boundary=BOTH)
    (prediction,) = check_layer(prior, values, tmp_path=tmp_path)
    assert prediction.shape == values.shape


def test_it_is_convolutions_over_space_whose_channels_are_the_times(rng):
    values = rng.normal(size=(2, 3, 5, 6, 2))
    prior = BilinearAutoEncoder(4, 3, (1,), segment=3, boundary=BOTH, dtype="float64")
    prediction = prior(values).numpy()
    stage = prior.stages[0]

    def convolved(channels, layer, part=slice(None)):
        kernel, bias = layer.kernel.numpy()[0, ..., part], layer.bias.numpy()[part]
        # As if one axis of space were time: by zeros, which are cut off.
        around = np.pad(channels, [(0, 0), (1, 1), (0, 0), (0, 0)], "reflect")
        return by_sums(around, kernel, ("periodic",))[:, 1:-1] + bias

    # Variables of all times side by side, the times of each together.
    channels = np.transpose(values, (0, 2, 3, 4, 1)).reshape(2, 5, 6, 6)
    h = convolved(np.maximum(convolved(channels, stage.enter), 0), stage.hidden)
    a, b, c = (convolved(h, stage.stages, slice(4 * k, 4 * k + 4)) for k in range(3))
    output = convolved(np.concatenate([a, b * c], -1), stage.leave)
    expected = np.transpose(output.reshape(2, 5, 6, 2, 3), (0, 4, 1, 2, 3))
    np.testing.assert_allclose(prediction, expected, rtol=1e-9, atol=1e-12)


def test_two_resolutions_are_added_up(rng):
    values = rng.normal(size=(2, 4, 6, 8, 1))
    settings = {"units": 4, "segment": 4, "boundary": "periodic", "dtype": "float64"}
    both = BilinearAutoEncoder(scales=(1, 2), **settings)
    expected = 0.0
    together = both(values)
    for scale, stage in zip((1, 2), both.stages, strict=True):
        one = BilinearAutoEncoder(scales=(scale,), **settings)
        one(values)
        one.set_weights(stage.get_weights())
        expected = expected + one(values)
    np.testing.assert_allclose(together, expected, rtol=1e-12)


@pytest.mark.parametrize("scales", [(1,), (1, 2)])
def test_turning_the_globe_turns_the_prediction(scales, rng):
    values = rng.normal(size=(1, 4, 6, 8, 1))
    prior = BilinearAutoEncoder(4, 3, scales, 4, boundary="periodic", dtype="float64")
    for axis in (2, 3):
        turned = prior(np.roll(values, 2, axis))
        np.testing.assert_allclose(turned, np.roll(prior(values), 2, axis), atol=1e-12)


def test_segments_do_not_see_each_other(rng):
    values = rng.normal(size=(1, 6, 4, 4, 1))
    prior = BilinearAutoEncoder(4, segment=3, dtype="float64")
    np.testing.assert_allclose(prior(values)[:, 3:], prior(values[:, 3:]), rtol=1e-12)


@pytest.mark.long
def test_it_learns_travelling_waves_and_not_noise(rng):
    t, y, x = np.meshgrid(*map(np.arange, (4, 8, 8)), indexing="ij")
    phase = rng.uniform(0, 2 * np.pi, (64, 1, 1, 1))
    waves = np.sin(phase + 0.7 * t + 2 * np.pi * (y + x) / 8)[..., np.newaxis]
    noisy = waves + 0.5 * rng.normal(size=waves.shape)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([BilinearAutoEncoder(8, segment=4, boundary="periodic")])
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    model.fit(noisy[:48], waves[:48], epochs=20, batch_size=16, verbose=0)
    assert model.evaluate(noisy[48:], waves[48:], verbose=0) < 0.25 * 0.5**2


def test_what_is_no_resolution_or_segment_is_refused():
    with pytest.raises(InputError, match=r"scales=\(3,\); expected \(1,\), \(2,\) or \(1, 2\)"):
        BilinearAutoEncoder(scales=(3,))
    with pytest.raises(InputError, match="segment=0; expected a number of times"):
        BilinearAutoEncoder(segment=0)
