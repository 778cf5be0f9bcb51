"""Labelled maps: their land takes no part, and each member is a series of its own."""

import keras
import numpy as np
import pytest
import xarray as xr

from tf4dvar.data import Patches, Series
from tf4dvar.errors import InputError
from tf4dvar.layers import Convolution, FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet, UnsupervisedLoss

pytestmark = pytest.mark.long

DAYS, ROWS, COLUMNS = 12, 5, 6
SEA = np.ones((ROWS, COLUMNS), bool)
SEA[:2, :3] = SEA[4, 5] = False
POISON = (np.nan, 1e30, -9999.0, np.inf)


def maps(members=None, there=7.0, seed=0):
    """Observations and truth with land, in another order than a model has."""
    rng = np.random.default_rng(seed)
    truth = 15 + rng.normal(size=(members or 1, DAYS, ROWS, COLUMNS))
    seen = np.where(rng.random(truth.shape) < 0.5, truth, np.nan)
    dims = ("member", "time", "lat", "lon")
    data = xr.Dataset(
        {"sst": (dims, seen, {"units": "degC"}), "variance": (dims, 0.1 + 0 * seen)},
        {
            "time": np.datetime64("2001-01-01") + np.arange(DAYS) * np.timedelta64(1, "D"),
            "lat": ("lat", np.linspace(40, 42, ROWS), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(5, 8, COLUMNS), {"units": "degrees_east"}),
            "sea": (("lon", "lat"), SEA.T),
        },
    )
    data = data.rename(variance="sst_noise_variance").assign(truth=(dims, truth))
    data = data.where(data["sea"], there)
    data = data if members else data.isel(member=0)
    return data.drop_vars("truth"), data[["truth"]].rename(truth="sst").drop_vars("sea")


def trained(data, truth=None, loss=None):
    keras.utils.set_random_seed(0)
    model = FourDVarNet(
        Convolution(1, 3, zero_centre=True), GradientSolver(FixedStepCell(0.1), iterations=2)
    )
    model.adapt(data, truth, window=4)
    model.compile("adam", loss, run_eagerly=True)
    model.fit(data, truth, epochs=1, verbose=0, shuffle=False)
    return model


@pytest.fixture(scope="module")
def model():
    return trained(*maps())


@pytest.mark.parametrize("loss", [None, UnsupervisedLoss()], ids=["truth", "observations"])
def test_what_lies_on_land_changes_no_weight_and_no_score(loss):
    results = []
    for there in (7.0, *POISON):
        data, truth = maps(there=there)
        trained_on = trained(data, None if loss else truth, loss)
        score = trained_on.evaluate(data, truth, verbose=0)
        results.append([*trained_on.get_weights(), np.array(score)])
    for poisoned in results[1:]:
        for ours, theirs in zip(results[0], poisoned, strict=True):
            assert np.isfinite(ours).all()
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("there", POISON)
def test_nor_a_reconstruction_which_has_none_there(there, model):
    data, _ = maps()
    filled = model.reconstruct(data)["sst"]
    np.testing.assert_array_equal(np.isnan(filled), np.broadcast_to(~SEA, filled.shape))
    xr.testing.assert_identical(model.reconstruct(maps(there=there)[0])["sst"], filled)


def test_it_is_given_to_the_model_in_its_own_order(model):
    data, _ = maps()
    observed = data["sst"].where(data["sea"]).values[..., np.newaxis]
    variance = np.full(observed.shape, 0.1) / 0.1 * model.normalisation.std.numpy() ** 2
    inputs = {"observations": observed, "noise_variance": variance}
    inputs = {name: each[np.newaxis].astype("float32") for name, each in inputs.items()}
    short = data.isel(time=slice(4))
    expected = model.predict(
        {name: each[:, :4] for name, each in inputs.items()} | {"land": ~SEA[np.newaxis]}, verbose=0
    )
    found = model.reconstruct(short)["sst"]
    np.testing.assert_allclose(found, expected[0, ..., 0], rtol=1e-6)
    turned = data.isel(lat=slice(None, None, -1)).transpose("lon", "time", "lat")
    turned = model.reconstruct(turned)["sst"].transpose(*data["sst"].dims).sortby("lat")
    np.testing.assert_array_equal(turned, model.reconstruct(data)["sst"])
    dry = model.predict({name: each[:, :4] for name, each in inputs.items()}, verbose=0)
    assert np.abs(dry[0, :, SEA] - expected[0, :, SEA]).max() > 1e-4


def test_windows_with_a_mask_are_read_as_a_series_is(model):
    data, truth = maps()
    series = Series.of(data)
    windows = series.cut(4, 1, Series.of(truth).at_times_of(series))
    poisoned = windows.where(windows["domain"], 1e30)
    states, expected = (model.reconstruct(each)["state"] for each in (poisoned, windows))
    np.testing.assert_array_equal(states, expected)
    assert np.isnan(states.values[:, :, ~SEA]).all()
    one, other = (trained(each) for each in (poisoned, windows))
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_tile_has_its_part_of_the_land(model):
    data, _ = maps()
    series = Series.of(data)
    patches = Patches((DAYS, ROWS, COLUMNS), (4, 3, 4), (1, 1, 2))
    cuts = zip(
        patches.cut(series.observations, 5), patches.cut_still(series.land.values, 5), strict=True
    )
    answers = (model.predict({"observations": x, "land": land}, verbose=0) for x, land in cuts)
    whole = np.concatenate(list(patches.join(answers)))[..., 0]
    np.testing.assert_array_equal(np.isnan(whole), np.broadcast_to(~SEA, whole.shape))


def test_members_are_reconstructed_each_by_itself_in_the_form_of_the_file(model):
    data, _ = maps(members=3)
    data = data.assign_coords(member=[4, 2, 9]).transpose("lat", "member", ...)
    filled = model.reconstruct(data)
    assert filled["sst"].dims == data["sst"].dims
    xr.testing.assert_identical(filled["member"], data["member"])
    for label in data["member"].values:
        alone = model.reconstruct(data.sel(member=label, drop=True))
        xr.testing.assert_equal(filled.sel(member=label, drop=True), alone)
    array = model.reconstruct(data["sst"])
    assert isinstance(array, xr.DataArray)
    assert array.dims == data["sst"].dims


def test_a_model_learns_from_the_windows_of_all_members():
    data, truth = maps(members=2)
    seen = data["sst"].where(data["sea"])
    known = truth["sst"].where(data["sea"])
    model = trained(data, truth)
    np.testing.assert_allclose(model.normalisation.mean, known.mean(), rtol=1e-5)
    assert model.signature.window == 4
    # The last day of a member and the first of the next are in no window.
    windows = model._windows(data, truth)[0]["observations"][..., 0]
    for member in range(2):
        alone = model._windows(data.isel(member=member), truth.isel(member=member))[0]
        part = windows[member * len(windows) // 2 :][: len(windows) // 2]
        np.testing.assert_array_equal(part, alone["observations"][..., 0])
    assert np.isfinite(model.evaluate(data, truth, verbose=0))
    assert float(seen.isel(member=0).sum()) != float(seen.isel(member=1).sum())
    with pytest.raises(InputError, match="Received states of 1 members; expected 2"):
        model.fit(data, truth.isel(member=0), verbose=0)
