"""Windows of maps: those of one member each, and nothing of land."""

import numpy as np
import pytest
import xarray as xr

from tf4dvar.data import Members
from tf4dvar.training.own_windows import GivenWindows, SeriesWindows

SEA = np.ones((4, 5), bool)
SEA[:2, 1] = False
DIMS = ("member", "time", "y", "x")


def maps(members=2, there=7.0):
    """Values that tell their member and their time, those on land others."""
    shape = (members, 40, 4, 5)
    values = 100.0 * np.arange(members)[:, None, None, None] + np.arange(40.0)[:, None, None]
    values = np.broadcast_to(values, shape)
    seen = np.where(np.random.default_rng(0).random(shape) < 0.8, values, np.nan)
    on_land = ~np.broadcast_to(SEA, shape)
    truth, seen, variance = (
        np.where(on_land, there, each) for each in (values, seen, 0.1 + 0 * values)
    )
    space = {"y": np.arange(4.0), "x": np.arange(5.0), "sea": (("y", "x"), SEA)}
    data = xr.Dataset({"h": (DIMS, seen), "h_noise_variance": (DIMS, variance)}, space)
    return data, xr.Dataset({"h": (DIMS, truth)}, space).drop_vars("sea")


def windows_of(data, truth=None):
    return SeriesWindows(Members.of(data), truth and Members.of(truth), 4, 1, seed=0)


def first_pass(windows):
    return next(iter(windows.batches(windows.number, 0, slice(None)).as_numpy_iterator()))


def test_a_window_is_of_one_member_and_all_members_have_some():
    windows = windows_of(*maps(3))
    assert windows.number == 3 * (4 * 34 // 4)
    for target in (first_pass(windows)[1], windows.validation[1]):
        at_sea = target[:, :, SEA][..., 0]
        assert (at_sea == at_sea[:, :, :1]).all()
        steps = at_sea[:, :, 0]
        np.testing.assert_array_equal(np.diff(steps), 1.0)
        assert {*(steps // 100).ravel()} == {0, 1, 2}
    assert (windows.validation[1][:, :, SEA] % 100).min() == 34
    assert (first_pass(windows)[1][:, :, SEA] % 100).max() < 34


@pytest.mark.parametrize("there", [np.nan, 1e30, -9999.0, np.inf])
@pytest.mark.parametrize("supervised", [True, False])
def test_what_is_on_land_is_in_no_window_and_the_model_knows_where_it_is(there, supervised):
    both = [maps(there=value) for value in (7.0, there)]
    ours, theirs = (windows_of(data, truth if supervised else None) for data, truth in both)
    for one, other in (
        (first_pass(ours), first_pass(theirs)),
        (ours.validation, theirs.validation),
        ([ours.observations, ours.truth], [theirs.observations, theirs.truth]),
    ):
        for found, expected in zip(_leaves(one), _leaves(other), strict=True):
            np.testing.assert_array_equal(found, expected)
    inputs, target, *_ = first_pass(theirs)
    np.testing.assert_array_equal(inputs["land"], np.broadcast_to(~SEA, (len(target), 4, 5)))
    for values in (inputs["observations"], inputs["noise_variance"], target):
        assert np.isnan(values[:, :, ~SEA]).all()
    assert ours.noise_variance == theirs.noise_variance


def test_nor_in_windows_that_are_given():
    data, truth = maps()
    windows = Members.of(data).cut(4, truth=Members.of(truth))
    poisoned = windows.where(windows["domain"], 1e30)
    for one, other in zip(
        _leaves(first_pass(GivenWindows(windows, 0))),
        _leaves(first_pass(GivenWindows(poisoned, 0))),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def _leaves(given):
    """Arrays of a tuple, and of a dict in it."""
    return [of for each in given for of in (each.values() if isinstance(each, dict) else [each])]
