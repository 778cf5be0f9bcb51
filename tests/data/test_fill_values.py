import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.strategies import seeded
from tf4dvar.data import fill_values_of

FILLS = [9999.0, 99999.0, -32768.0, 1e35, -9999.0, 1e20, 9.96921e36, -999.0, -99.0]


@given(
    rng=seeded(),
    fill=st.sampled_from(FILLS),
    dtype=st.sampled_from(["float32", "float64"]),
    share=st.sampled_from([0.01, 0.1, 0.7]),
)
def test_a_fill_value_is_found_with_its_share(rng, fill, dtype, share):
    values = rng.normal([15.0, 0.0], [5.0, 1.0], size=(20, 50, 2)).astype(dtype)
    values[rng.random(values.shape) < 0.3] = np.nan
    assert fill_values_of(values) == []
    where = rng.random(values.shape[:2]) < share
    least, most = np.nanmin(values[..., 0][~where]), np.nanmax(values[..., 0][~where])
    values[where, 0] = fill
    (found,) = fill_values_of(values)
    assert (found.component, np.dtype(dtype).type(fill)) == (0, found.value)
    np.testing.assert_allclose(found.share, where.mean())
    np.testing.assert_allclose(found.others, (least, most))


def test_several_fill_values_in_one_component_are_all_found(rng):
    values = rng.normal(290, 10, size=(1000, 1))
    values[::10], values[1::10], values[2::10] = -9999, 9999, 1e35
    assert sorted(each.value for each in fill_values_of(values)) == [-9999, 9999, 1e35]


def test_a_component_that_is_nothing_else_is_one(rng):
    values = np.stack([rng.normal(size=100), np.full(100, 1e20), np.full(100, 7.0)], -1)
    assert [(each.component, each.value) for each in fill_values_of(values)] == [(1, 1e20)]
    assert np.isnan(fill_values_of(values)[0].others).all()


def real_data(rng):
    """By name: what has repeated extremes and is as it should be."""
    heavy = np.exp(rng.normal(0, 2, 5000))
    rain = np.where(rng.random(5000) < 0.15, 0.0, rng.gamma(0.3, 10, 5000))
    return {
        "censored at a detection limit": np.maximum(heavy, 0.5),
        "saturated": np.clip(rng.normal(0, 1, 5000), -2, 2),
        "rain": rain,
        "packed with few steps": np.rint(rng.normal(290, 10, 5000)),
        "overlapping windows of a heavy tail": np.repeat(heavy, 8),
        "an ice fraction": np.clip(rng.normal(0.7, 0.7, 5000), 0, 1),
        "categories": rng.choice([1.0, 2.0, 3.0, 100.0], 5000),
        "a constant": np.full(5000, 3.5),
        "one single outlier": np.r_[rng.normal(size=5000), 9999.0],
        "nothing": np.full(50, np.nan),
        "depths": np.r_[rng.uniform(0, 9999, 5000), [9999.0] * 5],
        "humidity": np.minimum(rng.normal(80, 15, 5000), 99.0),
        "large numbers": rng.normal(1e20, 1e19, 5000),
    }


@pytest.mark.parametrize("name", real_data(np.random.default_rng(0)))
def test_real_data_raise_no_alarm(name):
    for seed in range(20):
        values = real_data(np.random.default_rng(seed))[name]
        assert fill_values_of(values[:, None]) == []
        assert fill_values_of(values[:, None].astype("float32")) == []
