import numpy as np
import pytest

from tests.data.series import field
from tf4dvar.data import Layout, open_data
from tf4dvar.errors import InputError


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
