import keras
import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tf4dvar.layers import AttentionFirstGuess, LSTMCell, TransformerBlock, TwoScaleGENN
from tf4dvar.models import FourDVarNet


def small(**settings):
    return AttentionFirstGuess(slot=4, width=16, depth=2, heads=2, **settings)


@pytest.fixture
def observed(rng):
    mask = (rng.random((3, 10, 2)) < 0.4).astype("float32")
    return rng.normal(size=mask.shape).astype("float32") * mask, mask


def test_layers(observed, rng, tmp_path):
    (guess,) = check_layer(small(), *observed, tmp_path=tmp_path)
    assert guess.shape == (3, 10, 2)
    sequence = rng.normal(size=(2, 5, 8)).astype("float32")
    check_layer(TransformerBlock(8, 2), sequence, tmp_path=tmp_path)


def test_windows_do_not_mix(observed):
    layer = small()
    together = layer(*observed)
    for window in range(3):
        alone = layer(*(values[window : window + 1] for values in observed))
        np.testing.assert_allclose(together[window : window + 1], alone, atol=1e-5)


def test_every_time_sees_every_observation(observed):
    layer = small()
    values, mask = observed
    before = layer(values, mask).numpy()
    time, component = np.argwhere(mask[0])[0]
    values[0, time, component] += 1.0
    after = layer(values, mask).numpy()
    assert (before[0] != after[0]).any(axis=-1).all()
    np.testing.assert_array_equal(before[1:], after[1:])


def test_observing_zero_is_not_the_same_as_not_observing():
    layer = small()
    nothing = np.zeros((1, 8, 2), "float32")
    seen = nothing.copy()
    seen[0, 3, 1] = 1.0
    assert not np.allclose(layer(nothing, nothing), layer(nothing, seen))


def test_any_window_length():
    layer = small()
    for steps in (1, 4, 7, 200):
        nothing = np.zeros((2, steps, 3), "float32")
        assert layer(nothing, nothing).shape == (2, steps, 3)


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="multiple of twice the heads"):
        AttentionFirstGuess(width=10, heads=4)


def test_a_model_learns_it_and_keeps_it(windows, tmp_path):
    observations, truth = windows["observations"].values, windows["truth"].values
    model = FourDVarNet(TwoScaleGENN(units=4), LSTMCell(units=4), iterations=0, first_guess=small())
    model.adapt(observations)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    history = model.fit(observations, truth, epochs=10, batch_size=10, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    model.iterations = 2
    states = model.predict(observations, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(observations, verbose=0), states)
