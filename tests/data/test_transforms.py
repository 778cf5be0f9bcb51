import numpy as np
import pytest

from tf4dvar.data import TRANSFORMS, restored, transformed
from tf4dvar.errors import InputError


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_transform_is_undone(name, dtype, rng):
    values = np.exp(rng.normal(size=(5, 4, 2))).astype(dtype)
    values[0, 0] = np.nan
    there = transformed(values, name)
    back = restored(there, name)
    assert there.dtype == back.dtype == values.dtype
    np.testing.assert_allclose(back, values, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "refused"), [("log10", [0.0, -1.0]), ("log", [0.0, -1.0]), ("sqrt", [-1.0])]
)
def test_what_has_no_transform_is_refused_with_its_share(name, refused):
    for value in refused:
        values = np.r_[np.full(9, 2.0), value]
        with pytest.raises(InputError, match=f"10 % of the entries of chla .*{value:g}, .* {name}"):
            transformed(values, name, "chla")
    assert transformed(np.array([0.0, np.nan]), "sqrt")[0] == 0


def test_an_unknown_transform_is_refused():
    with pytest.raises(InputError, match="one of log10, log, sqrt"):
        transformed(np.ones(3), "exp")
