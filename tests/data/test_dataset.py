import time
import warnings

import h5py
import numpy as np
import pytest
import xarray as xr

from tf4dvar.data import (
    check_observations,
    number_of,
    open_windows,
    protocol_plan,
    read_windows,
    simulate_dataset,
    states_dataset,
    write_dataset,
    write_states,
)
from tf4dvar.errors import InputError
from tf4dvar.storage import atomic_path
from tf4dvar.systems import Lorenz63


def simulate(**settings):
    return simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 3, **settings)


def test_a_file_gives_back_what_was_written(tmp_path):
    dataset = simulate(seed=7)
    write_dataset(dataset, tmp_path / "windows.nc")
    read = read_windows(tmp_path / "windows.nc")
    xr.testing.assert_identical(read, dataset)
    assert read.attrs["system"] == "l63"
    assert read["truth"].dims == ("window", "time", "component")


@pytest.mark.parametrize("kind", ["scipy", 2, 3])
def test_windows_in_other_formats_are_read_as_well(kind, tmp_path):
    """NetCDF-3, and zarr of both formats."""
    dataset = simulate(seed=7)
    path = tmp_path / "windows"
    if kind == "scipy":
        dataset.to_netcdf(path, engine=kind)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of zarr's, that texts have no format in it yet
            dataset.to_zarr(path, zarr_format=kind, consolidated=False)
    read = read_windows(path)
    xr.testing.assert_identical(read, dataset)
    assert read["observations"].dtype.isnative


def test_a_seed_gives_the_same_data_set_and_plans_share_their_truth():
    assert simulate(seed=7).identical(simulate(seed=7))
    assert not simulate(seed=7)["truth"].equals(simulate(seed=8)["truth"])
    other_plan = simulate_dataset(Lorenz63(), protocol_plan("l63", "T"), 3, seed=7)
    assert other_plan["truth"].equals(simulate(seed=7)["truth"])


def test_axes_in_another_order_are_put_right(tmp_path):
    dataset = simulate()
    write_dataset(dataset.transpose("component", "window", "time"), tmp_path / "windows.nc")
    assert read_windows(tmp_path / "windows.nc").equals(dataset)


def test_states_keep_coordinates_and_attributes(windows):
    states = states_dataset(windows, windows["truth"].values, method="truth")
    np.testing.assert_array_equal(states["state"], windows["truth"])
    assert states["state"].attrs == {"units": "1", "long_name": "reconstructed state"}
    assert states.attrs["system"] == "l63"
    for name in windows.coords:
        assert states[name].identical(windows[name])


def test_states_of_an_operators_observations_have_components_of_their_own(windows):
    observed = windows[["observations"]].isel(component=[0])
    states = states_dataset(observed, windows["truth"].values)
    assert states["state"].dims == observed["observations"].dims
    assert states["component"].values.tolist() == [0, 1, 2]
    assert states["time"].identical(windows["time"])


def test_an_existing_file_is_left_as_it_is_unless_forced(tmp_path):
    path = tmp_path / "windows.nc"
    path.write_text("precious")
    with pytest.raises(InputError, match="force=True"):
        write_dataset(simulate(), path)
    assert path.read_text() == "precious"
    write_dataset(simulate(), path, force=True)
    assert read_windows(path).sizes["window"] == 3


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "windows.nc"
    path.write_text("precious")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half a fi")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "precious"
    assert [file.name for file in tmp_path.iterdir()] == ["windows.nc"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        write_dataset(simulate(), tmp_path / "nowhere" / "windows.nc")


def test_files_that_are_not_windows_are_refused(tmp_path):
    good = tmp_path / "good.nc"
    write_dataset(simulate(), good)

    truncated = tmp_path / "truncated.nc"
    truncated.write_bytes(good.read_bytes()[:-700])
    with pytest.raises(InputError, match="truncated"):
        read_windows(truncated)

    lacking = tmp_path / "lacking.nc"
    write_dataset(simulate().drop_vars("observations"), lacking)
    with pytest.raises(InputError, match=r"\['truth'\]; expected 'observations'"):
        read_windows(lacking)

    flat = tmp_path / "flat.nc"
    write_dataset(simulate().isel(window=0), flat)
    with pytest.raises(InputError, match="has the dimensions"):
        read_windows(flat)

    with pytest.raises(InputError, match="no file"):
        read_windows(tmp_path / "nothing.nc")


def by_h5py(tmp_path, change):
    """A good file, changed behind xarray's back."""
    path = tmp_path / "changed.nc"
    write_dataset(simulate(), path, force=True)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def test_other_variables_and_dimensions_do_no_harm(tmp_path):
    dataset = simulate().assign(time_bounds=(("time", "bounds"), np.zeros((200, 2))))
    write_dataset(dataset, tmp_path / "windows.nc")
    assert read_windows(tmp_path / "windows.nc").identical(dataset)


def test_attributes_that_name_other_variables_are_written(tmp_path):
    dataset = simulate().assign(time_bounds=(("time", "bounds"), np.zeros((200, 2))))
    dataset["time"].attrs["bounds"] = "time_bounds"
    write_dataset(dataset, tmp_path / "windows.nc")
    with xr.open_dataset(tmp_path / "windows.nc") as written:
        assert written.identical(dataset)


def test_a_flipped_bit_in_the_values_is_noticed(tmp_path):
    path = tmp_path / "windows.nc"
    dataset = simulate()
    write_dataset(dataset, path)
    content = bytearray(path.read_bytes())
    place = content.find(dataset["truth"].values[1, 7, 2].tobytes())
    content[place + 3] ^= 16
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as NetCDF-4"):
        read_windows(path)


@pytest.mark.parametrize("text", [b"l63", b'"every": 8', b"true state", b"time_step"])
def test_a_flipped_bit_in_an_attribute_is_noticed(tmp_path, text):
    path = tmp_path / "windows.nc"
    write_dataset(simulate(), path)
    content = bytearray(path.read_bytes())
    content[content.find(text) + 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as NetCDF-4"):
        read_windows(path)


def test_texts_of_any_language_come_back(tmp_path):
    dataset = simulate().assign_attrs(title="Ĥ(x) = y, 観測", empty="", long="x" * 100_000)
    write_dataset(dataset, tmp_path / "windows.nc")
    assert dataset.attrs["title"] == "Ĥ(x) = y, 観測"
    assert read_windows(tmp_path / "windows.nc").identical(dataset)


def test_values_elsewhere_or_nowhere_are_refused(tmp_path):
    """They could be a device, a pipe or another's file, or fill the memory."""

    def elsewhere(file):
        file.create_dataset("more", (4,), "f8", external=[("/dev/zero", 0, 32)])

    def virtual(file):
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource("other.nc", "x", (4,))
        file.create_virtual_dataset("more", layout)

    def link(file):
        file["more"] = h5py.ExternalLink("/dev/zero", "/x")

    def huge(file):
        file.create_dataset("more", (2**50,), "f8", chunks=(1024,))

    for change, message in {
        elsewhere: "more are in another file",
        virtual: "more are in another file",
        link: "more is a link",
        huge: "larger than the memory",
    }.items():
        with pytest.raises(InputError, match=message):
            read_windows(by_h5py(tmp_path, change))


def test_types_and_dimensions_of_both_variables_are_checked(tmp_path):
    for dataset, message in (
        (simulate().isel(window=slice(0)), r"\(0, 200, 3\), which are none"),
        (simulate().assign(truth=("time", np.zeros(200))), r"'truth' .* dimensions \('time',\)"),
        (simulate().assign(truth=lambda data: data["truth"].astype(int)), "the type int64"),
        (simulate().assign(observations=lambda data: data["truth"] > 0), "the type bool"),
    ):
        path = tmp_path / "odd.nc"
        write_dataset(dataset, path, force=True)
        with pytest.raises(InputError, match=message):
            read_windows(path)


@pytest.mark.parametrize("value", [None, "2", -1.0, np.nan, np.inf, np.array([1.0, 2.0])])
def test_an_attribute_that_is_no_number_is_refused(value):
    dataset = simulate().assign_attrs(noise_variance=value)
    with pytest.raises(InputError, match=r"noise_variance = .*; expected a number"):
        number_of(dataset, "noise_variance")


def test_numbers_among_the_attributes(tmp_path):
    write_dataset(simulate(), tmp_path / "windows.nc")
    assert number_of(read_windows(tmp_path / "windows.nc"), "noise_variance") == 2.0
    assert number_of(simulate().assign_attrs(noise_variance=0), "noise_variance") == 0.0


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        (np.zeros((4, 3)), "Add the missing axes"),
        (np.zeros((2, 4, 3), int), "int64"),
        (np.zeros((2, 4, 2)), "3 components"),
        (np.full((2, 4, 3), np.inf), r"24 infinite .* \[0, 0, 0\]"),
    ],
)
def test_observations_that_do_not_fit_are_refused(observations, message):
    with pytest.raises(InputError, match=message):
        check_observations(observations, components=3)


@pytest.mark.parametrize("components", [3, 5])
@pytest.mark.parametrize("bare", [False, True])
def test_states_written_piece_by_piece_are_those_written_at_once(
    windows, tmp_path, rng, components, bare
):
    """Also those of an operator's observations, and without coordinates."""
    source = windows[["observations"]].assign_coords(units=("component", ["m", "m", "K"]))
    if bare:
        source = source.drop_vars(source.coords).drop_attrs()
    write_dataset(source, tmp_path / "windows.nc")
    states = rng.normal(size=(40, 200, components)).astype("float32")
    write_dataset(states_dataset(source, states, method="a"), tmp_path / "at_once.nc")
    with open_windows(tmp_path / "windows.nc") as opened:
        write_states(
            opened,
            [{"state": part} for part in np.split(states, [7, 8])],
            tmp_path / "pieces.nc",
            method="a",
        )
    xr.testing.assert_identical(
        read_windows(tmp_path / "pieces.nc", "state"),
        read_windows(tmp_path / "at_once.nc", "state"),
    )


def test_texts_that_are_not_utf8_are_read_and_written(tmp_path):
    """As other programs write degrees: Latin-1, in attributes of the file and of variables."""
    windows = simulate()
    path = tmp_path / "windows.nc"
    write_dataset(windows, path)
    unknown = "caf\xe9 \xb0C".encode("latin-1")
    with h5py.File(path, "r+") as file:
        file.attrs.create("title", unknown, dtype=h5py.string_dtype())
        file.attrs.create("titles", [unknown, b"x"], dtype=h5py.string_dtype())
        file.attrs.create(b"\xe9", 1)
        file["observations"].attrs["units"] = np.bytes_(unknown)
    found = read_windows(path)
    assert found.attrs["title"] == found["observations"].attrs["units"] == "caf\xe9 \xb0C"
    write_dataset(states_dataset(found, found["truth"].values), tmp_path / "states.nc")
    states = read_windows(tmp_path / "states.nc", "state")
    assert states.attrs["title"] == "caf\xe9 \xb0C"
    assert states.attrs["\xe9"] == 1
    assert list(states.attrs["titles"]) == ["caf\xe9 \xb0C", "x"]


def test_what_netcdf_cannot_hold_is_said(tmp_path):
    windows = simulate()
    for attribute in ({"a": 1}, None, object()):
        with pytest.raises(InputError, match="cannot be written as NetCDF"):
            write_dataset(windows.assign_attrs(more=attribute), tmp_path / "windows.nc")
    assert list(tmp_path.iterdir()) == []


def test_the_time_to_read_does_not_grow_with_groups_in_groups(tmp_path):
    """They are not looked into: nothing of them is read."""
    windows = simulate()
    path = tmp_path / "windows.nc"
    write_dataset(windows, path)
    with h5py.File(path, "r+") as file:
        group = file
        for _ in range(2000):
            group = group.create_group("g")
        group["far"] = h5py.ExternalLink("nowhere", "/x")
    started = time.process_time()
    xr.testing.assert_identical(read_windows(path), windows)
    assert time.process_time() - started < 5
