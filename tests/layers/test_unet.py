import keras
import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tf4dvar.errors import InputError
from tf4dvar.layers import UNetFirstGuess
from tf4dvar.layers.kernels.tiles import from_tiles, to_tiles


def observed(shape, rng):
    mask = (rng.random(shape) < 0.3).astype("float32")
    return mask * rng.normal(size=shape).astype("float32"), mask


@pytest.mark.parametrize(("steps", "space"), [(3, (8, 8)), (7, (5, 6)), (4, (7,)), (5, ())])
def test_layer_of_windows_of_any_length(steps, space, rng, tmp_path):
    guess = UNetFirstGuess(4, 1, segment=4, boundary="periodic")
    (states,) = check_layer(guess, *observed((2, steps, *space, 2), rng), tmp_path=tmp_path)
    assert states.shape == (2, steps, *space, 2)


def test_it_has_as_many_components_as_asked_for(rng):
    guess = UNetFirstGuess(4, 2, segment=5, components=3)
    assert guess(*observed((2, 5, 8, 6, 1), rng)).shape == (2, 5, 8, 6, 3)


@pytest.mark.parametrize("space", [(8, 12), (7, 5), (9,), ()])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_tiles_hold_every_point_once(side, space, rng):
    values = rng.normal(size=(2, 3, *space, 4))
    tiles = to_tiles(values, side)
    assert tiles.shape == (2, 3, *[-(-size // side) for size in space], 4 * side ** len(space))
    np.testing.assert_array_equal(from_tiles(tiles, side, like=values), values)
    if space == (8, 12) and side == 2:
        of_place = np.moveaxis(values[:, :, 2:4, 6:8], -1, 2).reshape(2, 3, -1)
        np.testing.assert_array_equal(tiles[:, :, 1, 3], of_place)


@pytest.mark.parametrize("space", [(8, 8), (7, 10)])
def test_layer_of_tiles(space, rng, tmp_path):
    guess = UNetFirstGuess(4, 1, segment=4, boundary="periodic", tile=2)
    (states,) = check_layer(guess, *observed((2, 4, *space, 2), rng), tmp_path=tmp_path)
    assert states.shape == (2, 4, *space, 2)


def test_turning_the_globe_turns_the_states(rng):
    given = observed((1, 4, 8, 8, 1), rng)
    guess = UNetFirstGuess(4, 1, segment=4, boundary="periodic", dtype="float64")
    for axis in (2, 3):
        turned = guess(*(np.roll(each, 2, axis) for each in given))
        np.testing.assert_allclose(turned, np.roll(guess(*given), 2, axis), atol=1e-9)


def test_each_coarser_grid_sees_twice_as_far():
    reach = {}
    for depth in (0, 1, 2):
        guess = UNetFirstGuess(2, depth, segment=1, boundary="periodic", dtype="float64")
        values = np.zeros((1, 1, 96, 1))
        guess(values, values)
        for weight in guess.weights:  # nothing cancels, and no ReLU is shut
            weight.assign(np.abs(weight) + 0.1)
        values[:, :, 48] = 1.0
        changed = guess(values, np.zeros_like(values)) - guess(*np.zeros((2, 1, 1, 96, 1)))
        reach[depth] = int(np.sum(np.abs(changed) > 1e-9))
    assert reach[0] < reach[1] < reach[2]
    assert reach[2] - reach[1] > 1.5 * (reach[1] - reach[0])


@pytest.mark.long
def test_it_learns_to_fill_gaps(rng):
    t, y, x = np.meshgrid(*map(np.arange, (3, 8, 8)), indexing="ij")
    phase = rng.uniform(0, 2 * np.pi, (80, 1, 1, 1))
    truth = np.sin(phase + 0.5 * t + 2 * np.pi * (y + x) / 8)[..., np.newaxis].astype("float32")
    mask = (rng.random(truth.shape) < 0.3).astype("float32")
    keras.utils.set_random_seed(0)
    given = [keras.Input(truth.shape[1:]) for _ in range(2)]
    model = keras.Model(given, UNetFirstGuess(8, 1, segment=3, boundary="periodic")(*given))
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    model.fit([truth * mask, mask], truth, epochs=12, batch_size=16, verbose=0)
    assert model.evaluate([truth * mask, mask], truth, verbose=0) < 0.2 * np.mean(truth**2)


def test_a_grid_too_small_for_its_coarsest_is_refused(rng):
    with pytest.raises(ValueError, match="more than 1 values along one that is periodic"):
        UNetFirstGuess(4, 2, boundary="periodic")(*observed((1, 4, 4, 8, 1), rng))
    with pytest.raises(InputError, match="segment=0; expected a number of times"):
        UNetFirstGuess(segment=0)
    with pytest.raises(InputError, match="tile=0; expected 1 to 16"):
        UNetFirstGuess(tile=0)


@pytest.mark.parametrize(
    "settings", [{"width": 0}, {"depth": -1}, {"width": 1, "depth": 2**31 - 1}]
)
def test_numbers_of_layers_are_bounded(settings):
    with pytest.raises(InputError, match="0 to 16 coarser grids"):
        UNetFirstGuess(**settings)
