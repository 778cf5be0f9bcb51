"""A file in another form gives the same, or is refused; it never gives other numbers."""

import keras
import pytest
import variants
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tf4dvar
from tf4dvar.errors import InputError
from tf4dvar.layers import FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet


@pytest.fixture(scope="module")
def model():
    prior = keras.layers.Conv1D(2, 5, padding="same", activation="tanh")
    model = FourDVarNet(prior, GradientSolver(FixedStepCell(0.3), iterations=3))
    model.adapt(variants.series(), window=24)
    return model


@pytest.fixture(scope="module")
def expected(model):
    return model.reconstruct(variants.series())


def reconstructed(model, data, form, path):
    variants.FORMATS[form](data, path)
    return model.reconstruct(tf4dvar.open_data(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from([*variants.SAME]), max_size=4, unique=True).filter(
        lambda names: not {*names} >= variants.APART
    ),
    form=st.sampled_from([*variants.FORMATS]),
)
@example(names=["other order", "a level first"], form="nc")
@example(names=["packed", "blank rows left out"], form="nc3")
@example(names=["another calendar"], form="zarr")
def test_a_file_in_another_form_gives_the_same(model, expected, tmp_path_factory, names, form):
    data = variants.changed(variants.series(), names)
    found = reconstructed(model, data, form, tmp_path_factory.mktemp("own") / f"file.{form}")
    assert {*found} == {*expected}
    assert found.sizes["time"] == data.sizes["time"]
    assert variants.departure(found, expected) < variants.ROUNDING


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(st.sampled_from(["other order", "a level", "packed"]), max_size=2, unique=True),
    name=st.sampled_from([*variants.REFUSED]),
    form=st.sampled_from(["nc", "zarr"]),
)
def test_a_file_of_another_kind_is_refused(model, tmp_path_factory, before, name, form):
    data = variants.changed(variants.series(), [*before, name])
    with pytest.raises(InputError, match="Received"):
        reconstructed(model, data, form, tmp_path_factory.mktemp("own") / f"file.{form}")


@pytest.mark.parametrize("name", variants.REFUSED)
def test_each_kind_is_refused(model, name):
    with pytest.raises(InputError, match="Received"):
        model.reconstruct(variants.changed(variants.series(), [name]))


@pytest.mark.parametrize("name", variants.SAME)
def test_each_form_gives_the_same(model, expected, name):
    found = model.reconstruct(variants.changed(variants.series(), [name]))
    assert variants.departure(found, expected) < variants.ROUNDING
