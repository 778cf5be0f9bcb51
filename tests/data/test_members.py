import numpy as np
import psutil
import pytest
import xarray as xr

from tests.data.series import PACKED, field, table
from tf4dvar.data import open_data, write_slabs
from tf4dvar.data.fields import simulate_fields
from tf4dvar.data.members import Members
from tf4dvar.data.stacked import axis_of
from tf4dvar.errors import InputError
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.instruments import PLANS


@pytest.fixture(scope="module")
def simulated():
    system = QuasiGeostrophic(points=16)
    return simulate_fields(system, PLANS["nadirs"], days=4, members=2, spin_up=2)


def test_observations_of_a_simulation_are_read_with_their_errors(simulated, caplog):
    members = Members.open(simulated)
    np.testing.assert_array_equal(members.observations[..., 0], simulated["observations"])
    np.testing.assert_array_equal(members.noise_variance[..., 0], simulated["noise_variance"])
    truth = Members.open(simulated, ["truth"])
    np.testing.assert_array_equal(truth.observations[..., 0], simulated["truth"])
    assert members.of_fields
    assert members.days.tolist() == [0, 1, 2, 3]
    assert members.grid.periods == (1000, 1000)
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["member", "ensemble", "number"])
def test_states_go_back_to_their_members(simulated, name):
    data = simulated.rename(member=name).assign_coords({name: [3, 7]}).transpose("x", ..., name)
    data[name].attrs["standard_name"] = "realization"
    data = data.assign_coords(seed=(name, [5, 6]))
    members = Members.open(data[["observations"]])
    xr.testing.assert_identical(members.restored(members.observations), data[["observations"]])


def test_a_file_without_members_has_one_and_keeps_its_packing(tmp_path):
    field().to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding={"sst": PACKED})
    members = Members.open(tmp_path / "a.nc")
    filled = members.restored(members.observations)
    write_slabs(filled, [filled], "time", tmp_path / "b.nc")
    raw, written = (xr.open_dataset(tmp_path / f"{name}.nc", decode_cf=False) for name in "ab")
    np.testing.assert_array_equal(written["sst"], raw["sst"])
    assert not members.first.observations.attrs.get("member")


def test_missing_days_are_put_back_and_taken_out_again():
    data = field().isel(time=[0, 1, 4, 5])
    members = Members.open(data)
    assert members.days.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.isnan(members.observations[0, 2:4]).all()
    xr.testing.assert_identical(members.restored(members.observations), data)


def test_a_mask_is_land():
    data = field().fillna(1.0).assign(mask=(("lon", "lat"), np.ones((5, 4), "int8")))
    data["mask"][2:, 1] = 0
    grid = Members.open(data, mask="mask").grid
    assert np.argwhere(grid.land).tolist() == [[1, 2], [1, 3], [1, 4]]


def test_members_are_opened_together(simulated):
    opened = open_data(simulated.rename(member="realization"))
    assert opened["observations"].dims == ("realization", "time", "y", "x")
    members, expected = Members.of(opened), Members.open(simulated)
    np.testing.assert_array_equal(members.observations, expected.observations)


def test_windows_are_of_one_member(simulated):
    members = Members.open(simulated)
    windows = members.cut(3, overlap=2)["observations"]
    expected = [series.cut(3, overlap=2)["observations"] for series in members.series]
    np.testing.assert_array_equal(windows, np.concatenate(expected))
    beside = members.windows([each.observations for each in members.series], 2)
    np.testing.assert_array_equal(
        beside.values.reshape(members.observations.shape), members.observations
    )


def test_the_truth_is_that_of_the_member(simulated):
    labelled = simulated.assign_coords(member=["a", "b"])
    members = Members.open(labelled)
    turned = Members.open(labelled.isel(member=[1, 0])[["observations"]])
    for found, series in zip(turned.at_times_of(members), members.series, strict=True):
        np.testing.assert_array_equal(found, series.observations)
    others = Members.open(labelled.assign_coords(member=["a", "c"]))
    with pytest.raises(InputError, match=r"\['a', 'c'\] and \['a', 'b'\]"):
        others.at_times_of(members)
    with pytest.raises(InputError, match="Received states of 1 members; expected 2"):
        Members.open(labelled.isel(member=0, drop=True)).at_times_of(members)


def test_series_of_a_table_are_no_fields():
    members = Members.open(table())
    assert not members.of_fields
    assert members.observations.shape == (1, 48, 2)
    np.testing.assert_allclose(np.diff(members.days), 1 / 24)


@pytest.mark.parametrize(
    ("units", "days"), [("hours", 1 / 24), ("d", 1.0), ("", 1.0), ("seconds", 1 / 86400)]
)
def test_times_in_any_unit_are_days(units, days):
    times = ("time", np.arange(6.0), {"units": units} if units else {})
    np.testing.assert_allclose(np.diff(Members.open(field().assign_coords(time=times)).days), days)


def test_what_tells_no_days_or_too_many_members_is_refused(simulated):
    times = ("time", np.arange(6.0), {"units": "m"})
    with pytest.raises(InputError, match="Received times in 'm'"):
        _ = Members.open(field().assign_coords(time=times)).days
    with pytest.raises(InputError, match="each of which is of realisations"):
        Members.open(simulated.expand_dims(ensemble=2))
    with pytest.raises(InputError, match="'member' of realisations has none"):
        Members.open(simulated.isel(member=slice(0)))
    beside = simulated[["observations"]].rename(observations="a")
    beside["b"] = beside["a"].isel(member=0, drop=True)
    with pytest.raises(InputError, match=r"\['b'\] without the dimension 'member'"):
        Members.open(beside)


def test_what_the_memory_cannot_hold_is_refused_before_it_is_read(simulated, monkeypatch):
    def observations(memory):
        told = psutil.virtual_memory()._replace(total=memory)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: told)
        return Members.open(simulated).observations

    needed = 3 * 8 * simulated["observations"].size
    assert observations(needed).shape == (2, 4, 16, 16, 1)
    with pytest.raises(InputError, match=r"of shape \(2, 4, 16, 16, 1\): some"):
        observations(needed - 1)


@pytest.mark.parametrize(("modulo", "circle"), [(1000.0, True), (2000.0, False), ("x", False)])
def test_what_says_that_it_repeats_goes_all_the_way_round(simulated, modulo, circle):
    x = simulated["x"].assign_attrs(modulo=modulo)
    stacked = simulated["observations"].isel(member=0).assign_coords(x=x)
    assert axis_of(stacked, "x").circle is circle
    assert axis_of(stacked, "y").circle
