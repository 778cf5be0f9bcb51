"""A file in another form gives the same, or is refused; it never gives other numbers."""

from functools import cache

import pytest
import variants
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tf4dvar
from tf4dvar.errors import InputError

KINDS = st.sampled_from([*variants.KINDS])


@pytest.fixture(scope="module")
def answer():
    """Models and their states, by the kind of their data."""

    @cache
    def of(kind):
        model = variants.model_of(kind)
        return model, model.reconstruct(variants.KINDS[kind]())

    return of


def reconstructed(model, data, form, path):
    variants.FORMATS[form](data, path)
    return model.reconstruct(tf4dvar.open_data(path))


def names_of(changes, most):
    """Some changes of a kind of data."""
    return st.lists(st.sampled_from([*changes]), max_size=most, unique=True).filter(
        lambda names: not {*names} >= variants.APART
    )


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=KINDS.flatmap(lambda kind: st.tuples(st.just(kind), names_of(variants.same_of(kind), 4))),
    form=st.sampled_from([*variants.FORMATS]),
)
@example(case=("table", ["other order", "a level first"]), form="nc")
@example(case=("table", ["packed", "blank rows left out"]), form="nc3")
@example(case=("table", ["another calendar"]), form="zarr")
@example(case=("maps", ["latitudes descend", "dimensions turned", "a level"]), form="nc")
@example(case=("maps", ["longitudes descend", "packed"]), form="zarr")
def test_a_file_in_another_form_gives_the_same(answer, tmp_path_factory, case, form):
    kind, names = case
    model, expected = answer(kind)
    data = variants.changed(kind, names)
    found = reconstructed(model, data, form, tmp_path_factory.mktemp("own") / f"file.{form}")
    assert {*found} == {*expected}
    assert found.sizes["time"] == data.sizes["time"]
    assert variants.departure(found, expected) < variants.ROUNDING


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=KINDS.flatmap(
        lambda kind: st.tuples(
            st.just(kind),
            names_of(["dimensions turned", "a level", "packed"], 2),
            st.sampled_from([*variants.refused_of(kind)]),
        )
    ),
    form=st.sampled_from(["nc", "zarr"]),
)
@example(case=("maps", [], "a coarser grid"), form="nc")
@example(case=("maps", [], "a latitude left out"), form="nc")
@example(case=("maps", [], "one place"), form="nc")
@example(case=("table", [], "another unit"), form="nc")
@example(case=("table", [], "every second row"), form="nc")
def test_a_file_of_another_kind_is_refused(answer, tmp_path_factory, case, form):
    kind, before, name = case
    model, _ = answer(kind)
    data = variants.changed(kind, [*before, name])
    with pytest.raises(InputError, match="Received"):
        reconstructed(model, data, form, tmp_path_factory.mktemp("own") / f"file.{form}")
