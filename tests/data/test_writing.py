"""States written slab by slab, in the form of the data set that they are of."""

import tracemalloc
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tf4dvar.data import Layout, Patches, open_data, write_slabs
from tf4dvar.errors import InputError

PACKINGS = [
    {},
    {"dtype": "float32"},
    {"dtype": "float32", "_FillValue": 1e20, "missing_value": 1e20},
    {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.15, "_FillValue": -32768},
    {"dtype": "int16", "scale_factor": np.float32(0.01), "add_offset": np.float32(273.15)}
    | {"_FillValue": np.int16(-32768), "missing_value": np.int16(-32768)},
    {"dtype": "int32", "scale_factor": 0.0001, "_FillValue": -2147483647},
    {"dtype": "int32", "scale_factor": 0.0001, "missing_value": -2147483647},
    {"dtype": "int8", "scale_factor": 0.25, "add_offset": 270.0, "_FillValue": -1}
    | {"_Unsigned": "true"},
    {"dtype": "int16", "_FillValue": -999, "zlib": True, "complevel": 5},
]
DATES = [
    ({"units": "days since 1950-01-01", "dtype": "float32"}, "standard"),
    ({"units": "days since 0001-01-01", "dtype": "float64"}, "standard"),
    ({"units": "seconds since 1970-01-01T00:00:00Z", "dtype": "int32"}, "standard"),
    ({"units": "hours since 1900-01-01", "calendar": "Gregorian", "dtype": "int64"}, "standard"),
    ({"units": "days since 2000-01-01", "calendar": "noleap", "dtype": "int32"}, "noleap"),
    ({"units": "days since 2000-01-01", "calendar": "360_day", "dtype": "int32"}, "360_day"),
]


def a_file(path, packing, dates, dims=("time", "lat", "lon"), unlimited=(), seed=0):
    """A file as other programs write it: `sst` to be replaced, and all that stands around it."""
    rng = np.random.default_rng(seed)
    encoding, calendar = dates
    sizes = {"time": 12, "lat": 3, "lon": 4, "depth": 1}
    values = 288 + rng.integers(-64, 64, [sizes[dim] for dim in dims]) / 4
    values[rng.random(values.shape) < 0.2] = np.nan
    dataset = xr.Dataset(
        {
            "sst": (dims, values, {"units": "kelvin", "comment": "°"}),
            "crs": ((), np.int32(7), {"grid_mapping_name": "latitude_longitude"}),
            "lat_bnds": (("lat", "nv"), np.zeros((3, 2), "float32"), {"units": "degrees_north"}),
        },
        coords={
            "time": xr.date_range("2001-03-01", periods=12, calendar=calendar, use_cftime=None),
            "lat": ("lat", np.float32([3, 2, 1]), {"units": "degrees_north", "bounds": "lat_bnds"}),
            "area": (("lat", "lon"), rng.random((3, 4)), {"units": "m2"}),
            "station": ("lat", ["a", "bb", "ü"]),
        },
        attrs={"title": "sea", "numbers": np.int16([1, 2]), "Conventions": "CF-1.8"},
    ).drop_vars([] if "lat" in dims else ["lat", "lat_bnds", "area", "station"])
    if calendar == "standard":
        edges = dataset["time"].values[:, None] + np.timedelta64(12, "h") * np.array([-1, 1])
        dataset["time_bnds"] = (("time", "nv"), edges)
        dataset["time"].attrs["bounds"] = "time_bnds"
        dataset["time_bnds"].encoding = {"dtype": "float64", "_FillValue": None}
    dataset["sst"].encoding = packing | {"grid_mapping": "crs"}
    dataset["time"].encoding = encoding
    for name in {"lat", "lat_bnds", "area"} & set(dataset.variables):
        dataset[name].encoding["_FillValue"] = None
    dataset.to_netcdf(path, engine="h5netcdf", unlimited_dims=unlimited)
    if "calendar" not in encoding:
        with h5py.File(path, "a") as file:
            del file["time"].attrs["calendar"]


def slabs_of(dataset, lengths, dim="time", dtype="float32"):
    start = 0
    for length in lengths:
        slab = dataset[["sst"]].isel({dim: slice(start, start + length)})
        yield xr.Dataset({"sst": slab["sst"].variable.astype(dtype)})
        start += length


def assert_same_file(found, expected):
    """As it is stored: numbers, types, attributes and their types, dims and their limits."""
    with (
        xr.open_dataset(found, decode_cf=False) as found,
        xr.open_dataset(expected, decode_cf=False) as expected,
    ):
        xr.testing.assert_identical(found, expected)
        assert found.encoding["unlimited_dims"] == expected.encoding["unlimited_dims"]
        assert found.sizes == expected.sizes
        for name, variable in expected.variables.items():
            assert found[name].dtype == variable.dtype
            for key, value in variable.attrs.items():
                assert np.asarray(found[name].attrs[key]).dtype == np.asarray(value).dtype


@given(
    st.sampled_from(PACKINGS),
    st.sampled_from(DATES),
    st.permutations(("time", "lat", "lon", "depth")),
    st.sampled_from([(12,), (5, 7), (1, 4, 4, 3)]),
    st.sampled_from([(), ("time",)]),
    st.sampled_from(["float32", "float64"]),
)
def test_the_identity_writes_the_file_again(packing, dates, dims, lengths, unlimited, dtype):
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.chdir(folder)
        a_file("in.nc", packing, dates, tuple(dims), unlimited)
        with xr.open_dataset("in.nc") as dataset:
            write_slabs(dataset, slabs_of(dataset, lengths, dtype=dtype), "time", "out.nc")
        assert_same_file("out.nc", "in.nc")


@pytest.fixture
def packed(tmp_path):
    """A file of whole hundredths of a kelvin in 16 bits, and its data set."""
    a_file(tmp_path / "in.nc", PACKINGS[3], DATES[0])
    with xr.open_dataset(tmp_path / "in.nc") as dataset:
        yield dataset


@pytest.mark.parametrize("value", [1000.0, -1e9, np.inf, 273.15 - 327.68])
def test_what_the_packing_cannot_hold_is_neither_wrapped_nor_clipped(
    packed, tmp_path, caplog, value
):
    """Also in the last slab only, and what would be the fill value."""
    states = packed["sst"].astype("float32").load()
    states[-1, 0, 0] = value
    slabs = [states[:7].to_dataset(), states[7:].to_dataset()]
    write_slabs(packed, slabs, "time", tmp_path / "out.nc")
    assert "1 values of 'sst'" in caplog.text
    assert "unpacked, as float32" in caplog.text
    with xr.open_dataset(tmp_path / "out.nc") as found:
        np.testing.assert_array_equal(found["sst"], states)
        assert found["sst"].attrs == {
            key: of for key, of in packed["sst"].attrs.items() if key != "valid_max"
        }


@pytest.mark.parametrize("encoding", [{"dtype": "int16"}, {"dtype": "uint8", "scale_factor": 2.0}])
def test_nothing_known_has_its_place_where_the_packing_has_none_for_it(tmp_path, caplog, encoding):
    """Whole numbers without a fill value, and land that a mask tells."""
    dataset = xr.Dataset({"counts": ("time", np.arange(4.0))})
    dataset["counts"].encoding = encoding
    states = dataset.where(dataset["counts"] != 2)
    write_slabs(dataset, [states], "time", tmp_path / "out.nc")
    assert "1 values of 'counts'" in caplog.text
    with xr.open_dataset(tmp_path / "out.nc") as found:
        np.testing.assert_array_equal(found["counts"], [0, 1, np.nan, 3])


@pytest.mark.filterwarnings("ignore:variable 'sst' has multiple fill values")
def test_of_several_missing_values_one_is_written_and_all_are_kept(tmp_path):
    a_file(tmp_path / "in.nc", {"dtype": "float32", "_FillValue": -1e5}, DATES[0])
    with h5py.File(tmp_path / "in.nc", "a") as file:
        file["sst"].attrs["missing_value"] = np.float32([99999.0, 1e20])
        file["sst"][0, 0, 0] = 1e20
    with xr.open_dataset(tmp_path / "in.nc") as dataset:
        write_slabs(dataset, slabs_of(dataset, (12,)), "time", tmp_path / "out.nc")
        with xr.open_dataset(tmp_path / "out.nc") as found:
            xr.testing.assert_identical(found, dataset)
    with xr.open_dataset(tmp_path / "out.nc", decode_cf=False) as found:
        assert found["sst"][0, 0, 0] == np.float32(-1e5)
        assert found["sst"].attrs["missing_value"].tolist() == [99999.0, np.float32(1e20)]


def test_states_in_memory_are_written_in_their_own_type(tmp_path):
    """Whole numbers, which have no encoding, get states that are none."""
    dataset = xr.Dataset(
        {"a": ("time", np.arange(5, dtype="int16")), "b": ("time", np.arange(5.0))}
    )
    states = [dataset.isel(time=[i]).astype("float32") + np.float32(0.3) for i in range(5)]
    write_slabs(dataset, states, "time", tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc") as found:
        assert (found["a"].dtype, found["b"].dtype) == ("float32", "float64")
        np.testing.assert_allclose(found["a"], np.arange(5) + 0.3, rtol=1e-6)


def test_what_the_valid_range_does_not_allow_is_said(packed, tmp_path, caplog):
    """In packed numbers, as they are in files: 300 K are 2685."""
    packed["sst"].attrs["valid_max"] = np.int16(2685)
    states = packed[["sst"]].load()
    states["sst"][:] = 288
    states["sst"][5, 0, :3] = [300.004, 300.02, np.nan]
    write_slabs(packed, [states], "time", tmp_path / "out.nc")
    assert "1 values of 'sst' are outside the valid range" in caplog.text


def test_labels_of_two_parts_are_written(tmp_path):
    field = xr.Dataset(
        {"observations": (("time", "y", "x"), np.arange(24.0).reshape(4, 3, 2))},
        {"y": [3, 2, 1], "x": [0, 1]},
    ).stack(component=("y", "x"))
    write_slabs(field, [field.isel(time=[i]) for i in range(4)], "time", tmp_path / "out.nc")
    xr.testing.assert_identical(open_data(tmp_path / "out.nc"), field)


@pytest.mark.parametrize("packing", PACKINGS[1:])
def test_a_file_that_is_opened_cut_joined_and_written_is_the_same(tmp_path, packing):
    a_file(tmp_path / "in.nc", packing, DATES[0], ("lon", "depth", "time", "lat"))
    dataset = open_data(tmp_path / "in.nc")
    layout = Layout.of(dataset)
    series = layout.stack(dataset)
    patches = Patches(series.shape[:-1], (5, 2, 3), (2, 1, 1))

    def slabs():
        start = 0
        for states in patches.join(patches.cut(series, 4)):
            here = {layout.time: slice(start, start + len(states))}
            yield layout.unstack(series.isel(here).copy(data=states), dataset.isel(here))
            start += len(states)

    write_slabs(dataset, slabs(), layout.time, tmp_path / "out.nc")
    with (
        xr.open_dataset(tmp_path / "in.nc", decode_cf=False) as expected,
        xr.open_dataset(tmp_path / "out.nc", decode_cf=False) as found,
    ):
        kept = [name for name in expected.variables if name in found.variables]
        assert {"sst", "time", "lat", "area", "lat_bnds", "crs"} <= set(kept)
        xr.testing.assert_identical(found[kept], expected[kept])


def test_a_level_may_be_left_out_of_the_form(tmp_path):
    """Then the chunks that the file had are those of another form; and units of time are plain."""
    a_file(tmp_path / "in.nc", PACKINGS[3], DATES[0], ("time", "depth", "lat", "lon"))
    with xr.open_dataset(tmp_path / "in.nc") as dataset:
        dataset["sst"].attrs["units"] = "days"
        level = dataset.isel(depth=0)
        level["sst"].encoding["chunksizes"] = (12, 1, 3, 4)
        write_slabs(level, slabs_of(level, (4, 8)), "time", tmp_path / "out.nc")
        with xr.open_dataset(tmp_path / "out.nc", decode_timedelta=False) as found:
            xr.testing.assert_identical(found, level)


def test_the_values_of_the_source_are_not_read(packed, tmp_path):
    dask = pytest.importorskip("dask")
    unread = dask.array.from_delayed(dask.delayed(pytest.fail)("read"), packed["sst"].shape, float)
    like = packed.assign(sst=packed["sst"].copy(data=unread))
    write_slabs(like, slabs_of(packed, (4, 8)), "time", tmp_path / "out.nc")
    assert_same_file(tmp_path / "out.nc", tmp_path / "in.nc")


def test_slabs_that_do_not_fill_the_series_leave_no_file(packed, tmp_path):
    for lengths in [(5,), (12, 3)]:
        slabs = [packed[["sst"]].isel(time=range(n)) for n in lengths]
        with pytest.raises(InputError, match="expected the 12 of the data set"):
            write_slabs(packed, slabs, "time", tmp_path / "out.nc")

    def interrupted():
        yield packed[["sst"]].isel(time=slice(4))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_slabs(packed, interrupted(), "time", tmp_path / "out.nc")
    assert [file.name for file in tmp_path.iterdir()] == ["in.nc"]


def test_a_file_may_take_the_place_of_its_source(packed, tmp_path):
    expected = packed["sst"].values
    write_slabs(packed, slabs_of(packed, (3, 9)), "time", tmp_path / "in.nc")
    with xr.open_dataset(tmp_path / "in.nc") as found:
        np.testing.assert_array_equal(found["sst"], expected)


def test_a_flipped_bit_in_the_states_is_noticed(packed, tmp_path):
    slabs = list(slabs_of(packed, (12,), dtype="float64"))
    packed["sst"].encoding = {}
    path = tmp_path / "out.nc"
    write_slabs(packed, slabs, "time", path)
    content = bytearray(path.read_bytes())
    place = content.find(slabs[0]["sst"].values[3].tobytes())
    content[place + 3] ^= 16
    path.write_bytes(content)
    with xr.open_dataset(path) as found, pytest.raises(OSError, match="filter returned failure"):
        found["sst"].load()


def test_the_memory_is_that_of_a_slab_and_not_of_the_series(tmp_path):
    """Ten times the series, the same peak: cut, joined and written."""
    dask = pytest.importorskip("dask.array")

    def peak(times):
        values = dask.zeros((times, 80, 80), chunks=(20, 80, 80), dtype="float32")
        dataset = xr.Dataset({"sst": (("time", "y", "x"), values)})
        dataset["sst"].encoding = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1}
        series = dataset["sst"].expand_dims(component=["sst"], axis=-1)
        patches = Patches(series.shape[:-1], (40, 40, 40), (10, 8, 8))
        slabs = (
            xr.Dataset({"sst": (("time", "y", "x"), slab[..., 0])})
            for slab in patches.join(patches.cut(series, 2))
        )
        tracemalloc.start()
        try:
            write_slabs(dataset, slabs, "time", tmp_path / "out.nc")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(80)  # what dask imports
    assert peak(1500) < 1.1 * peak(150)
