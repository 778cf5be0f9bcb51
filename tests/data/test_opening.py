import logging
import os
import tempfile

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import tf4dvar
from tests.data.series import field, table
from tf4dvar.data import Layout, open_data, protocol_plan, simulate_dataset, stores
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63

PACKED = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 10.0, "_FillValue": -32768}


@pytest.fixture
def said(caplog):
    """What was warned of since it was last asked."""
    caplog.set_level(logging.WARNING)

    def messages():
        text = caplog.text
        caplog.clear()
        return text

    return messages


WAYS = {
    "netcdf4": lambda data, path: data.to_netcdf(path, engine="h5netcdf"),
    "netcdf3": lambda data, path: data.to_netcdf(path, engine="scipy"),
    "zarr2": lambda data, path: data.to_zarr(path, zarr_format=2, consolidated=False),
    "zarr3": lambda data, path: data.to_zarr(path, zarr_format=3, consolidated=False),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [table, field])
def test_every_kind_of_file_is_opened_by_the_same_call(make, way, tmp_path):
    data = make()
    WAYS[way](data, tmp_path / "data")
    opened = tf4dvar.open_data(tmp_path / "data")
    xr.testing.assert_identical(opened, data)


def test_packed_files_keep_their_packing_and_come_back_to_the_last_number(tmp_path):
    times = {"units": "days since 1950-01-01", "dtype": "float32"}
    encoding = {"sst": PACKED, "time": times}
    field().to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding=encoding)
    raw = xr.open_dataset(tmp_path / "a.nc", decode_cf=False)
    opened = open_data(tmp_path / "a.nc")
    layout = Layout.of(opened)
    back = layout.unstack(layout.stack(opened), opened)
    back.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    xr.testing.assert_identical(xr.open_dataset(tmp_path / "b.nc", decode_cf=False), raw)


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "gregorian", "Gregorian", "standard"])
@pytest.mark.parametrize("units", ["days since 2001-02-20", "seconds since 1981-01-01"])
def test_calendars_and_units_of_time_are_read_and_kept(calendar, units, tmp_path):
    used = calendar if calendar in ("noleap", "360_day") else None
    data = table(30, used)
    written = {} if used else {"calendar": "proleptic_gregorian"}
    data["time"].encoding = {"units": units, "dtype": "float64"} | written
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with h5py.File(tmp_path / "a.nc", "r+") as file:
        file["time"].attrs["calendar"] = calendar
    opened = open_data(tmp_path / "a.nc")
    assert (opened["time"].values == data["time"].values).all()
    assert opened["time"].encoding["calendar"] == calendar
    assert opened["time"].encoding["units"] == units


def test_a_package_that_is_missing_is_named_with_the_extra(tmp_path, monkeypatch):
    data = table(10, "noleap")
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    table().to_zarr(tmp_path / "a.zarr", consolidated=False)
    monkeypatch.setattr(stores, "installed", lambda package: False)
    with pytest.raises(InputError, match=r"noleap.* cftime .*pip install tf4dvar\[data\]"):
        open_data(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"zarr store.* zarr .*pip install tf4dvar\[data\]"):
        open_data(tmp_path / "a.zarr")


def test_values_are_read_when_they_are_asked_for(tmp_path):
    field().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert open_data(tmp_path / "a.nc")["sst"].chunks is not None


def test_without_dask_values_are_arrays(tmp_path, monkeypatch):
    field().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    monkeypatch.setattr(stores, "installed", lambda package: False)
    opened = open_data(tmp_path / "a.nc")
    assert opened["sst"].chunks is None
    xr.testing.assert_identical(opened, field())


def test_globs_and_lists_are_put_together_in_time(tmp_path):
    data = field()
    data.isel(time=slice(3, 6)).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    data.isel(time=slice(0, 3)).to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    xr.testing.assert_identical(open_data(f"{tmp_path}/*.nc").load(), data)
    xr.testing.assert_identical(open_data([tmp_path / "b.nc", tmp_path / "a.nc"]).load(), data)
    with pytest.raises(InputError, match="each time once"):
        open_data([tmp_path / "a.nc", tmp_path / "a.nc"])
    with pytest.raises(InputError, match="No file fits"):
        open_data(f"{tmp_path}/*.zarr")


@pytest.mark.parametrize("source", [3, [], None, np.zeros(3)])
def test_what_is_no_data_is_refused(source):
    with pytest.raises(InputError, match="expected a path, a glob or a list"):
        open_data(source)


def test_what_is_no_file_of_data_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("time,temperature\n")
    (tmp_path / "five").write_bytes(b"CDF\x05" + bytes(100))
    (tmp_path / "three").write_bytes(b"CDF\x01" + bytes(100))
    for name, message in {
        "": "is a folder and no zarr store",
        "nothing": "There is no file",
        "pipe": "no regular file",
        "text": "cannot be read as NetCDF-4",
        "five": "CDF-5",
        "three": "Received the variables|cannot be read as NetCDF-3",
    }.items():
        with pytest.raises(InputError, match=message):
            open_data(tmp_path / name)
    with pytest.raises(InputError, match="download it"):
        open_data("https://example.org/a.nc")


def test_a_zarr_store_runs_nothing_and_waits_for_nothing(tmp_path):
    def store(name):
        field().to_zarr(tmp_path / name, zarr_format=2, consolidated=False)
        return tmp_path / name

    metadata = store("pickle") / "sst" / ".zarray"
    text = metadata.read_text()
    metadata.write_text(text.replace('"filters": null', '"filters": [{"id": "pickle"}]'))
    assert metadata.read_text() != text
    with pytest.raises(InputError, match=r"decoded by \['pickle'\]"):
        open_data(tmp_path / "pickle")

    chunk = store("link") / "sst" / "0.0.0"
    chunk.unlink()
    chunk.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="no regular file"):
        open_data(tmp_path / "link")

    chunk = store("pipe") / "sst" / "0.0.0"
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(InputError, match="no regular file"):
        open_data(tmp_path / "pipe")

    metadata = store("huge") / "sst" / ".zarray"
    shape = metadata.read_text().replace("6,", f"{2**50},", 1).replace("6,", f"{2**50},", 1)
    metadata.write_text(shape)
    with pytest.raises(InputError, match="larger than the memory"):
        open_data(tmp_path / "huge")

    (store("nested") / ".zattrs").write_text("[" * 100_000)
    with pytest.raises(InputError, match="cannot be read as zarr"):
        open_data(tmp_path / "nested")


def test_a_small_file_that_declares_a_huge_variable_is_refused(tmp_path):
    field().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with h5py.File(tmp_path / "a.nc", "r+") as file:
        file.create_dataset("more", (2**50,), "f4", chunks=(1024,))
    with pytest.raises(InputError, match="larger than the memory"):
        open_data(tmp_path / "a.nc")


@given(st.data())
def test_the_form_of_a_file_does_not_change_its_states(data):
    """Order and direction of dimensions, packing, types, levels of size one, names."""
    base = field()
    stacked = Layout.of(base).stack(base)
    form = base.transpose(*data.draw(st.permutations(["time", "lat", "lon"])))
    flipped = data.draw(st.sets(st.sampled_from(["lat", "lon"])))
    form = form.isel({dim: slice(None, None, -1) for dim in flipped})
    if data.draw(st.booleans()):
        form = form.expand_dims("depth", axis=data.draw(st.integers(0, 3)))
    names = data.draw(st.sampled_from([{}, {"lat": "latitude", "lon": "longitude", "time": "t"}]))
    form = form.rename(names)
    form["sst"] = form["sst"].astype(data.draw(st.sampled_from(["float32", "float64", ">f4"])))
    if data.draw(st.booleans()):
        form = form.chunk({dim: 2 for dim in form.dims})
    opened = open_data(form)
    layout = Layout.of(opened)
    found = layout.stack(opened)
    back = layout.unstack(found, opened)
    xr.testing.assert_identical(back, opened)
    assert back["sst"].dims == form["sst"].dims
    found = found.rename({v: k for k, v in names.items()})
    found = found.isel({dim: slice(None, None, -1) for dim in flipped})
    np.testing.assert_array_equal(found.transpose(*stacked.dims), stacked)


def test_levels_of_size_one_come_back(tmp_path):
    data = field().expand_dims(altitude=[2.0], axis=1)
    opened = open_data(data)
    layout = Layout.of(opened)
    states = layout.stack(opened)
    assert states.dims == ("time", "lat", "lon", "component")
    xr.testing.assert_identical(layout.unstack(states, opened), data)


def test_components_in_another_order_go_to_their_own_variables():
    data = table()
    layout = Layout.of(data)
    states = layout.stack(data)
    assert states["component"].values.tolist() == ["temperature", "pressure"]
    assert states["units"].values.tolist() == ["K", "Pa"]
    xr.testing.assert_identical(layout.unstack(states.isel(component=[1, 0]), data), data)


def test_axes_are_known_by_attributes_before_names():
    data = field().rename(lat="row", lon="col", time="when")
    data["row"].attrs = {"axis": "Y"}
    data["col"].attrs = {"standard_name": "projection_x_coordinate"}
    layout = Layout.of(data)
    assert (layout.time, layout.space) == ("when", ("row", "col"))
    bare = data.drop_vars(["row", "col", "when"])
    with pytest.raises(InputError, match="none of which is time"):
        Layout.of(bare)
    with pytest.raises(InputError, match="neither time nor space"):
        Layout.of(bare, dims={"time": "when"})
    named = {"time": "when", "y": "row", "x": "col"}
    assert Layout.of(bare, dims=named).space == ("row", "col")
    assert Layout.of(data, dims={"y": "col", "x": "row"}).space == ("col", "row")
    with pytest.raises(InputError, match="expected names of the dimensions"):
        Layout.of(data, dims={"latitude": "row"})


def test_several_levels_are_refused_with_the_way_out():
    data = field().expand_dims(depth=[0.0, 10.0], axis=1)
    with pytest.raises(InputError, match=r"'depth' is neither time nor space.*isel\(depth=0\)"):
        open_data(data)


def test_variables_are_those_of_the_most_dimensions_and_measurements():
    data = field()
    data["mean"] = data["sst"].mean(("lat", "lon"))
    data["area"] = data["sst"][0]
    data["sst_qc"] = data["sst"] * 0
    data["sst_error"] = data["sst"]
    data["name"] = ("time", np.array(["a"] * 6))
    assert Layout.of(data).variables == ("sst",)
    assert list(open_data(data, ["mean"]).data_vars) == ["mean"]
    for names, message in ((["nothing"], "expected some of"), (["name"], "expected numbers")):
        with pytest.raises(InputError, match=message):
            open_data(data, names)
    with pytest.raises(InputError, match="on different dimensions"):
        open_data(data, ["sst", "mean"])
    with pytest.raises(InputError, match="expected a list"):
        open_data(data, "sst")


def test_files_of_windows_are_a_form_of_data(said):
    windows = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 3, seed=7)
    opened = open_data(windows)
    layout = Layout.of(opened)
    assert layout.variables == ("x", "y", "z")
    assert layout.dims == ("window", "time", "component")
    states = layout.stack(opened)
    np.testing.assert_array_equal(states, windows["observations"])
    turned = open_data(windows.transpose("component", "time", "window").isel(component=[2, 0, 1]))
    back = Layout.of(turned).unstack(states, turned)
    np.testing.assert_array_equal(back["observations"][0], windows["observations"][..., 2].T)
    assert said() == ""


def test_the_valid_range_is_applied_in_packed_numbers(tmp_path):
    data = table().fillna(0.0)
    data["temperature"].values[:] = np.linspace(280, 300, 48)
    for number, (attributes, encoding) in enumerate(
        (
            ({"valid_min": np.float64(285), "valid_max": np.float64(295)}, {}),
            ({"valid_range": np.array([-500, 500], "int16")}, PACKED | {"add_offset": 290.0}),
            ({"valid_range": np.array([285.0, 295.0])}, PACKED | {"add_offset": 290.0}),
        )
    ):
        data["temperature"].attrs |= attributes
        path = tmp_path / f"{number}.nc"
        data.to_netcdf(path, engine="h5netcdf", encoding={"temperature": encoding})
        opened = open_data(path)["temperature"]
        inside = (data["temperature"].round(2) >= 285) & (data["temperature"].round(2) <= 295)
        np.testing.assert_array_equal(opened.notnull(), inside)
        assert set(attributes) <= set(opened.attrs)
        for name in attributes:
            del data["temperature"].attrs[name]


def test_a_valid_range_that_is_none_is_refused_or_passed_over():
    data = table()
    data["temperature"].attrs["valid_range"] = "all"
    with pytest.raises(InputError, match="no two numbers"):
        open_data(data)
    data["temperature"].attrs = {"valid_min": np.int8(0), "valid_max": np.int8(-1)}
    assert open_data(data)["temperature"].equals(data["temperature"])


@pytest.mark.parametrize(
    ("attributes", "sea", "land", "mask"),
    [
        ({}, 1, 0, "mask"),
        ({}, 1, 2, "mask==1"),
        ({}, 2, 5, " mask < 3 "),
        ({"flag_values": np.array([1, 2], "int8"), "flag_meanings": "sea land"}, 1, 2, "mask"),
        ({"flag_values": np.array([0, 1], "int8"), "flag_meanings": "water land"}, 0, 1, "mask"),
    ],
)
def test_a_mask_is_by_its_flags_else_true_where_there_is_a_value(attributes, sea, land, mask, said):
    data = field().fillna(14.0)
    dry = np.zeros((4, 5), bool)
    dry[1, 2:] = True
    data["mask"] = (("lat", "lon"), np.where(dry, land, sea).astype("int8"), attributes)
    opened = open_data(data, mask=mask)
    np.testing.assert_array_equal(opened["sst"].isnull(), np.broadcast_to(dry, (6, 4, 5)))
    assert said() == ""
    layout = Layout.of(opened)
    back = layout.unstack(layout.stack(opened).fillna(1.0), opened)
    np.testing.assert_array_equal(back["sst"].isnull(), opened["sst"].isnull())


def test_a_mask_of_clouds_hides_values_but_no_place(said):
    data = field().fillna(14.0)
    clear = np.random.default_rng(1).random((6, 4, 5)) < 0.5
    clear[0] = True
    clear[:, 0, 0] = False
    data["clear"] = (("time", "lat", "lon"), clear.astype("int8"))
    opened = open_data(data, ["sst"], mask="clear")
    np.testing.assert_array_equal(opened["sst"].notnull(), clear)
    layout = Layout.of(opened)
    back = layout.unstack(layout.stack(opened).fillna(1.0), opened)
    np.testing.assert_array_equal(back["sst"].notnull().all("time"), clear.any(0))


@pytest.mark.parametrize("name", ["land_mask", "cloudmask", "lsm"])
def test_a_mask_that_may_mean_either_is_asked_about(name):
    data = field()
    data[name] = (("lat", "lon"), np.ones((4, 5), "int8"))
    with pytest.raises(InputError, match=f"'{name}==1'"):
        open_data(data, mask=name)
    open_data(data, mask=f"{name}==1")


@pytest.mark.parametrize("text", ["", "==3", "mask=1", "mask==sea", "mask>=1>=2", "mask>="])
def test_what_is_no_condition_is_refused(text):
    data = field().assign(mask=(("lat", "lon"), np.ones((4, 5))))
    with pytest.raises(InputError, match=r"expected (NAME|one of)"):
        open_data(data, mask=text)


def test_quality_says_which_values_count(said):
    data = field().fillna(14.0)
    level = np.random.default_rng(1).integers(0, 6, (6, 4, 5)).astype("int8")
    data["quality_level"] = (("time", "lat", "lon"), level)
    opened = open_data(data, quality="quality_level>=3")
    np.testing.assert_array_equal(opened["sst"].notnull(), level >= 3)
    with pytest.raises(InputError, match="'quality_level>=3'"):
        open_data(data, quality="quality_level")
    with pytest.raises(InputError, match="has the dimensions"):
        open_data(field().assign(q=("other", [1.0, 2.0])), quality="q>=1")
    assert said() == ""


@pytest.mark.parametrize("name", ["mask", "quality_level", "sst_flag", "other"])
def test_a_mask_or_a_quality_that_is_not_named_is_pointed_out(name, said):
    attributes = {"flag_meanings": "good bad"} if name == "other" else {}
    opened = open_data(field().assign({name: (("lat", "lon"), np.ones((4, 5), int), attributes)}))
    assert f"'{name}' lies beside 'sst' and is not used" in said()
    assert list(opened.data_vars) == ["sst"]


@pytest.mark.parametrize(
    ("units", "of_error", "power"),
    [
        ("K", "K", 1),
        ("degC", "K", 1),
        ("degC", "celsius", 1),
        ("m s-1", "m/s", 1),
        ("m", "m2", 2),
        ("m s-1", "m2 s-2", 2),
        ("K", "degC^2", 2),
    ],
)
def test_errors_are_deviations_or_variances_by_their_units(units, of_error, power, said):
    data = field()
    data["sst"].attrs["units"] = units
    data["err"] = data["sst"].copy(data=np.full((6, 4, 5), 2.0)).assign_attrs(units=of_error)
    opened = open_data(data, error="err")
    variance = opened["sst_noise_variance"]
    assert (variance == 2.0 ** (3 - power)).all()
    xr.testing.assert_identical(opened[["sst"]], data[["sst"]])
    stacked = Layout.of(opened).noise_variance(opened)
    assert stacked.dims == ("time", "lat", "lon", "component")
    assert said() == ""


@pytest.mark.parametrize(
    ("units", "of_error", "name", "message"),
    [
        ("m", "cm", "err", "'cm' and 'sst' has 'm'"),
        ("m", "", "err", "does not tell whether"),
        ("1", "1", "err", "does not tell whether"),
        ("m", "m", "sst_variance", "'m'"),
    ],
)
def test_errors_that_do_not_fit_are_refused(units, of_error, name, message):
    data = field()
    data["sst"].attrs["units"] = units
    data[name] = data["sst"].copy().assign_attrs(units=of_error, long_name="")
    with pytest.raises(InputError, match=message):
        open_data(data, error=name)


@pytest.mark.parametrize(
    ("attributes", "power"),
    [
        ({"standard_name": "sea_surface_temperature standard_error"}, 2),
        ({"long_name": "error variance"}, 1),
    ],
)
def test_errors_without_units_are_told_by_their_names(attributes, power):
    data = field()
    data["e"] = (data["sst"].dims, np.full((6, 4, 5), 3.0), attributes)
    assert (open_data(data, error="e")["sst_noise_variance"] == 3.0**power).all()


def test_an_error_of_each_place_holds_at_all_times():
    data = field()
    data["err"] = (("lon", "lat"), np.full((5, 4), 2.0), {"units": "K"})
    opened = open_data(data, error="err")
    variance = Layout.of(opened).noise_variance(opened)
    assert variance.shape == (6, 4, 5, 1)
    assert (variance == 4).all()
    data["err"] = ("other", [1.0, 2.0], {"units": "K"})
    with pytest.raises(InputError, match="'err' has the dimensions"):
        open_data(data, error="err")


def test_what_has_no_known_error_does_not_count():
    data = field().fillna(1.0)
    data["err"] = (data["sst"].dims, np.ones((6, 4, 5)), {"units": "K"})
    data["err"].values[0, 0, :3] = [0.0, -1.0, np.nan]
    opened = open_data(data, error="err")
    assert opened["sst"].isnull().values.sum() == 3


def test_each_of_several_variables_has_its_error():
    data = table()
    data["e"] = ("time", np.ones(48), {"units": "K"})
    with pytest.raises(InputError, match="the names of the errors by theirs"):
        open_data(data, error="e")
    opened = open_data(data, error={"temperature": "e"})
    variance = Layout.of(opened).noise_variance(opened)
    assert (variance.sel(component="temperature") == 1).all()
    assert variance.sel(component="pressure").isnull().all()
    for error in ({"nothing": "e"}, {"temperature": "nothing"}):
        with pytest.raises(InputError, match="which is not there"):
            open_data(data, error=error)


@pytest.mark.parametrize("name", ["observation_variance", "noise_variance"])
def test_the_variances_of_a_file_of_windows_are_taken_by_themselves(name, said):
    windows = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 3, seed=7)
    windows[name] = windows["truth"] ** 2 + 1
    opened = open_data(windows)
    assert opened["observations_noise_variance"].attrs["long_name"] == "noise variance"
    variance = Layout.of(opened).noise_variance(opened)
    np.testing.assert_array_equal(variance, windows[name])
    xr.testing.assert_equal(opened["observations"], windows["observations"])
    assert said() == ""


@pytest.mark.parametrize("fill", [9999, 99999, -32768, 1e35, -9999, 1e20, 9.96921e36, -7777])
def test_an_undeclared_fill_value_is_named_with_its_share(fill, said):
    data = table(1000)
    open_data(data)
    assert said() == ""
    data["temperature"].values[::10] = fill
    open_data(data)
    text = said()
    assert f"'temperature' is exactly {fill:g} in 10 % of the entries" in text
    assert "missing_value" in text
    data["temperature"].attrs["missing_value"] = float(fill)
    assert open_data(data)["temperature"].isnull()[::10].all()
    assert said() == ""


def test_an_undeclared_packed_fill_value_is_named(tmp_path, said):
    data = field(times=40)
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding={"sst": PACKED})
    with h5py.File(tmp_path / "a.nc", "r+") as file:
        del file["sst"].attrs["_FillValue"]
    open_data(tmp_path / "a.nc")
    assert "'sst' is the packed number -32768 in 3" in said()


def test_a_variable_without_a_value_is_named(said):
    data = field()
    data["mask"] = (("lat", "lon"), np.zeros((4, 5)))
    open_data(data, mask="mask")
    assert "'sst' has no value in the 120 entries" in said()


def test_masked_arrays_and_arrays_alone_are_taken():
    values = np.ma.masked_invalid(table()["temperature"].values)
    array = xr.DataArray(values, dims="time", coords=table().coords, name="temperature")
    opened = open_data(array)
    np.testing.assert_array_equal(opened["temperature"], table()["temperature"])
    assert list(open_data(array.rename(None)).data_vars) == ["observations"]


def test_irregular_times_are_put_on_a_grid_by_an_option():
    data = table().isel(time=[0, 1, 3, 8]).fillna(1.0)
    opened = open_data(data, time_step="2h")
    assert opened.sizes["time"] == 5
    assert opened["temperature"].isnull().sum() == 1


@pytest.mark.parametrize("attributes", [{"scale_factor": "abc"}, {"add_offset": np.inf}])
def test_packing_that_is_no_number_is_refused(attributes):
    data = field()
    data["sst"].attrs |= attributes
    with pytest.raises(InputError, match="expected a number"):
        open_data(data)


@pytest.mark.parametrize("dim", ["time", "lat"])
def test_what_has_no_value_is_refused(dim):
    with pytest.raises(InputError, match="it has no value"):
        open_data(field().isel({dim: slice(0)}))


def test_damaged_values_are_refused_when_they_are_looked_at(tmp_path):
    field().to_zarr(tmp_path / "a", zarr_format=2, consolidated=False)
    chunk = tmp_path / "a" / "sst" / "0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        open_data(tmp_path / "a")


def test_truth_is_no_observation():
    windows = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 3, seed=7)
    with pytest.raises(InputError, match="'observations' has the dimensions"):
        open_data(windows.assign(observations=3.0))
    truth = Layout.of(open_data(windows, ["truth"]))
    assert truth.held == Layout.of(windows[["truth"]]).held == "truth"


@given(st.data())
def test_calendars_packing_and_types_in_a_file_do_not_change_its_states(data):
    base = field()
    base["sst"] = base["sst"].round(2)
    expected = Layout.of(base).stack(base)
    packed = data.draw(st.sampled_from([{}, PACKED, {"dtype": "float64"}, {"dtype": ">f4"}]))
    calendar = data.draw(st.sampled_from(["noleap", "360_day", "standard"]))
    times = xr.date_range("2001-01-01", periods=6, calendar=calendar, use_cftime=True)
    unit = data.draw(st.sampled_from(["days", "hours", "seconds"]))
    times = xr.Variable("time", times, encoding={"units": f"{unit} since 1950-01-01"})
    order = data.draw(st.permutations(["time", "lat", "lon"]))
    form = base.assign_coords(time=times).transpose(*order)
    with tempfile.TemporaryDirectory() as folder:
        form.to_netcdf(f"{folder}/a.nc", engine="h5netcdf", encoding={"sst": packed})
        with open_data(f"{folder}/a.nc") as opened:
            layout = Layout.of(opened)
            found = layout.stack(opened)
            back = layout.unstack(found, opened)
            assert back["sst"].dims == tuple(order)
            assert back["sst"].encoding == opened["sst"].encoding
            assert back["time"].encoding["calendar"] == calendar
            np.testing.assert_allclose(found, expected, atol=1e-4)
            np.testing.assert_array_equal(back["sst"], opened["sst"])
