import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layers.layer_check import check_layer
from tf4dvar.layers import LinearInterpolation


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), steps=st.integers(2, 30), share=st.floats(0, 1))
def test_equals_numpys_interpolation(seed, steps, share):
    rng = np.random.default_rng(seed)
    mask = (rng.random((2, steps, 3)) < share).astype("float64")
    values = rng.normal(size=mask.shape) * mask
    guess = LinearInterpolation(dtype="float64")(values, mask).numpy()
    times = np.arange(steps)
    for window in range(2):
        for component in range(3):
            known = np.flatnonzero(mask[window, :, component])
            expected = (
                np.interp(times, known, values[window, known, component])
                if len(known)
                else np.zeros(steps)
            )
            np.testing.assert_allclose(guess[window, :, component], expected, atol=1e-12)


def test_beyond_the_observations_is_a_value_of_ones_own(rng):
    values = np.zeros((1, 9, 2))
    values[0, [2, 6], 0] = 1.0, 3.0
    mask = (values > 0).astype("float64")
    guess = LinearInterpolation(beyond=-7.0, dtype="float64")(values, mask).numpy()[0]
    np.testing.assert_allclose(guess[:, 0], [-7, -7, 1, 1.5, 2, 2.5, 3, -7, -7])
    np.testing.assert_allclose(guess[:, 1], -7)


@pytest.mark.parametrize("beyond", [None, -0.5])
def test_layer(beyond, rng, tmp_path):
    mask = (rng.random((2, 9, 3)) < 0.4).astype("float32")
    check_layer(LinearInterpolation(beyond), mask * 3, mask, tmp_path=tmp_path)
