import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tf4dvar.layers import PlaneConv


@pytest.fixture
def plane(rng):
    return rng.normal(size=(2, 7, 8, 3)).astype("float32")


def test_it_is_the_sum_over_the_neighbourhood_on_a_circle(plane):
    conv = PlaneConv(2, 3, use_bias=True, dtype="float64")
    conv.build(plane.shape)
    conv.bias.assign([0.5, -1.0])
    kernel = conv.kernel.numpy()
    padded = np.pad(plane.astype("float64"), ((0, 0), (1, 1), (0, 0), (0, 0)))
    expected = np.full((2, 7, 8, 2), [0.5, -1.0])
    for dt in range(3):
        for dc in (-1, 0, 1):
            neighbour = np.roll(padded[:, dt : dt + 7], -dc, axis=2)
            expected += neighbour @ kernel[dt, dc + 1]
    np.testing.assert_allclose(conv(plane), expected, atol=1e-12)


def test_turning_the_circle_turns_the_output(plane):
    conv = PlaneConv(4, 5)
    np.testing.assert_allclose(
        conv(np.roll(plane, 3, axis=2)), np.roll(conv(plane), 3, axis=2), atol=1e-5
    )


def test_layer(plane, tmp_path):
    (output,) = check_layer(PlaneConv(4, use_bias=True), plane, tmp_path=tmp_path)
    assert output.shape == (2, 7, 8, 4)


def test_what_has_no_centre_or_too_small_a_circle_is_refused(plane):
    with pytest.raises(ValueError, match="kernel_size=1; expected an odd number of 3 or more"):
        PlaneConv(2, kernel_size=1, zero_centre=True)
    with pytest.raises(ValueError, match="kernel_size=4; expected an odd number"):
        PlaneConv(1, 4)
    with pytest.raises(ValueError, match="8 components; a kernel of width 17 needs more than 8"):
        PlaneConv(1, 17)(plane)
