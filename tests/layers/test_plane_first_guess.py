import keras
import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tf4dvar.layers import PlaneBlock, PlaneFirstGuess, PlaneGENN, PlaneLSTMCell
from tf4dvar.models import FourDVarNet


def small():
    return PlaneFirstGuess(slot=4, width=8, depth=2)


@pytest.fixture
def observed(rng):
    mask = (rng.random((3, 10, 6)) < 0.4).astype("float32")
    return rng.normal(size=mask.shape).astype("float32") * mask, mask


def test_layers(observed, rng, tmp_path):
    (guess,) = check_layer(small(), *observed, tmp_path=tmp_path)
    assert guess.shape == (3, 10, 6)
    plane = rng.normal(size=(2, 5, 6, 4)).astype("float32")
    check_layer(PlaneBlock(4), plane, tmp_path=tmp_path)


def test_windows_do_not_mix(observed):
    layer = small()
    together = layer(*observed)
    for window in range(3):
        alone = layer(*(values[window : window + 1] for values in observed))
        np.testing.assert_allclose(together[window : window + 1], alone, atol=1e-5)


def test_turning_the_circle_turns_the_guess(observed):
    layer = small()
    turned = layer(*(np.roll(values, 2, axis=-1) for values in observed))
    np.testing.assert_allclose(turned, np.roll(layer(*observed), 2, axis=-1), atol=1e-5)


def test_an_observation_reaches_as_far_as_the_blocks(rng):
    # Two blocks of two convolutions and the one at the entry reach five components to each side.
    layer = small()
    nothing = np.zeros((1, 40, 30), "float32")
    seen = nothing.copy()
    seen[0, 20, 15] = 1.0
    changed = (layer(seen, seen).numpy() != layer(nothing, nothing).numpy())[0]
    np.testing.assert_array_equal(np.flatnonzero(changed.any(axis=0)), np.arange(10, 21))
    np.testing.assert_array_equal(np.flatnonzero(changed.any(axis=1)), np.arange(40))


def test_observing_zero_is_not_the_same_as_not_observing():
    layer = small()
    nothing = np.zeros((1, 8, 4), "float32")
    seen = nothing.copy()
    seen[0, 3, 1] = 1.0
    assert not np.allclose(layer(nothing, nothing), layer(nothing, seen))


def test_any_window_length_and_number_of_components():
    layer = small()
    for steps, components in ((1, 4), (4, 4), (7, 40), (200, 6)):
        nothing = np.zeros((2, steps, components), "float32")
        assert layer(nothing, nothing).shape == (2, steps, components)


def test_a_model_learns_it_and_keeps_it(rng, tmp_path):
    truth = np.repeat(rng.normal(size=(40, 1, 5)), 12, axis=1).astype("float32")
    observations = np.where(rng.random(truth.shape) < 0.5, truth, np.nan)
    model = FourDVarNet(
        PlaneGENN(units=2, kernel_size=3), PlaneLSTMCell(units=2), iterations=0, first_guess=small()
    )
    model.adapt(observations)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    history = model.fit(observations, truth, epochs=10, batch_size=10, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    model.iterations = 2
    states = model.predict(observations, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(observations, verbose=0), states)
