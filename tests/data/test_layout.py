import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tests.data.series import field, table
from tf4dvar.data import Layout, open_data, protocol_plan, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63


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


def test_truth_is_no_observation():
    windows = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 3, seed=7)
    with pytest.raises(InputError, match="'observations' has the dimensions"):
        open_data(windows.assign(observations=3.0))
    truth = Layout.of(open_data(windows, ["truth"]))
    assert truth.held == Layout.of(windows[["truth"]]).held == "truth"
