import numpy as np
import pytest
import xarray as xr

from tests.data.series import field
from tf4dvar.data import Layout, Series
from tf4dvar.data.domain import land_of
from tf4dvar.errors import InputError

SEA = np.ones((4, 5), bool)
SEA[:2, 1] = SEA[3, 4] = False
SPACE = ("lat", "lon")


def masked(**coordinates):
    return field().assign_coords(coordinates)


def test_land_is_outside_every_mask_in_the_order_of_space():
    data = masked(sea=(("lon", "lat"), SEA.T), south=("lat", [True, True, True, False]))
    expected = ~SEA
    expected[3] = True
    np.testing.assert_array_equal(land_of(data, "time", SPACE), expected)


def test_where_a_mask_has_more_dimensions_land_is_outside_it_throughout():
    levels = np.stack([SEA, SEA & False])
    data = masked(sea=(("depth", "lat", "lon"), levels))
    np.testing.assert_array_equal(land_of(data, "time", SPACE), ~SEA)


@pytest.mark.parametrize(
    "coordinates",
    [
        {},
        {"sea": (SPACE, np.ones((4, 5), bool))},
        {"day": ("time", np.zeros(6, bool))},
        {"clear": (("time", "lat", "lon"), np.zeros((6, 4, 5), bool))},
        {"good": ("number", np.zeros(3, bool))},
    ],
    ids=lambda coordinates: "".join(coordinates) or "none",
)
def test_no_land(coordinates):
    assert land_of(masked(**coordinates), "time", SPACE) is None


def test_what_lies_on_land_is_not_read():
    data = masked(sea=(SPACE, SEA)).assign(sst_noise_variance=field()["sst"] ** 2)
    poisoned = data.where(data["sea"], 1e30)
    layout = Layout.of(data)
    for read in (layout.stack, layout.noise_variance):
        xr.testing.assert_identical(read(poisoned), read(data.where(data["sea"])))
    assert np.isnan(layout.stack(poisoned).values[:, ~SEA]).all()


def test_nor_is_the_truth_there_and_windows_say_where_it_is():
    series = Series.of(masked(sea=(("lon", "lat"), SEA.T)))
    truth = Series.of(field().fillna(0.0)).at_times_of(series)
    np.testing.assert_array_equal(np.isnan(truth[..., 0]), np.broadcast_to(~SEA, (6, 4, 5)))
    windows = series.cut(3, truth=truth)
    np.testing.assert_array_equal(land_of(windows, "time", SPACE), ~SEA)


def test_all_land_is_refused():
    with pytest.raises(InputError, match="all is land"):
        Layout.of(field()).stack(masked(sea=(SPACE, SEA & False)))
