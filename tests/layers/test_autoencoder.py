import keras
import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tf4dvar.layers import AutoEncoder


@pytest.mark.parametrize("steps", [1, 6, 8])
def test_layer_of_any_window_length(steps, rng, tmp_path):
    x = rng.normal(size=(2, steps, 3)).astype("float32")
    (output,) = check_layer(AutoEncoder(units=8), x, tmp_path=tmp_path)
    assert output.shape == x.shape


@pytest.mark.long
def test_it_learns_what_its_code_can_hold(rng):
    phase = rng.uniform(0, 2 * np.pi, size=(64, 1, 1)) + 0.3 * np.arange(16)[:, None]
    waves = np.concatenate([np.sin(phase), np.cos(phase), np.sin(2 * phase)], -1).astype("float32")
    model = keras.Sequential([AutoEncoder(latent=2)])
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    history = model.fit(waves, waves, epochs=40, batch_size=16, verbose=0).history
    assert history["loss"][-1] < 0.1 * history["loss"][0]


def test_a_code_as_large_as_a_block_is_refused():
    with pytest.raises(ValueError, match="latent=12 for blocks of 4 times 3 numbers"):
        AutoEncoder(latent=12).build((None, None, 3))
