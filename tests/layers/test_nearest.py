import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tf4dvar.layers import NearestFirstGuess


def guess_of(observed, boundary="zero"):
    """Of observations with NaN, [time, *space], of one window and variable."""
    values = np.asarray(observed, float)[np.newaxis, ..., np.newaxis]
    mask = np.isfinite(values).astype(float)
    guess = NearestFirstGuess(boundary, dtype="float64")(np.nan_to_num(values), mask)
    return guess.numpy()[0, ..., 0]


def test_a_place_takes_its_nearest_time_and_of_two_the_earlier():
    nan = np.nan
    series = [nan, 1.0, nan, nan, nan, 5.0, nan]
    np.testing.assert_array_equal(guess_of(series), [1, 1, 1, 1, 5, 5, 5])


def test_places_without_any_take_the_mean_of_the_nearest_that_have():
    observed = np.full((2, 5), np.nan)
    observed[0, 0], observed[1, 3] = 2.0, 6.0
    np.testing.assert_array_equal(guess_of(observed), [[2, 2, 6, 6, 6]] * 2)
    observed[0, 0], observed[1, 2] = 2.0, np.nan
    observed[0, 2] = 6.0
    observed[1, 3] = np.nan
    np.testing.assert_array_equal(guess_of(observed), [[2, 4, 6, 6, 6]] * 2)


def test_around_a_circle_the_nearest_may_be_at_the_other_end():
    observed = np.full((1, 6), np.nan)
    observed[0, 0], observed[0, 2] = 2.0, 6.0
    np.testing.assert_array_equal(guess_of(observed, "periodic"), [[2, 4, 6, 6, 4, 2]])


def test_as_a_loop_over_places_says(rng):
    observed = rng.normal(size=(6, 5, 7))
    observed[rng.random(observed.shape) > 0.1] = np.nan
    guess = guess_of(observed)
    found = np.argwhere(np.isfinite(observed))
    for t, y, x in np.ndindex(observed.shape):
        of_place = [s for s, j, i in found if (j, i) == (y, x)]
        if of_place:
            nearest = min(of_place, key=lambda s: (abs(s - t), s))
            assert guess[t, y, x] == observed[nearest, y, x]
    assert np.isfinite(guess).all()
    assert guess.min() >= np.nanmin(observed)
    assert guess.max() <= np.nanmax(observed)


def test_a_variable_without_any_observation_is_zero_and_does_not_disturb_others(rng):
    values = rng.normal(size=(1, 3, 4, 4, 2))
    mask = (rng.random(values.shape) < 0.2).astype(float)
    mask[..., 1] = 0
    guess = NearestFirstGuess(dtype="float64")
    both = guess(values * mask, mask).numpy()
    np.testing.assert_array_equal(both[..., 1], 0.0)
    alone = guess((values * mask)[..., :1], mask[..., :1])
    np.testing.assert_allclose(both[..., :1], alone, rtol=1e-12)


@pytest.mark.parametrize("space", [(), (6,), (4, 5)])
def test_layer(space, rng, tmp_path):
    mask = (rng.random((2, 7, *space, 2)) < 0.3).astype("float32")
    values = mask * rng.normal(size=mask.shape).astype("float32")
    check_layer(NearestFirstGuess("periodic"), values, mask, tmp_path=tmp_path)
