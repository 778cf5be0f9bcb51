"""Series cut into patches and joined again."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tf4dvar.data import Patches
from tf4dvar.errors import InputError


@st.composite
def plans(draw, longest=(40, 9, 9)):
    """Any plan: a table, a line, a map; longer or shorter than its patches."""
    axes = [
        (draw(st.integers(1, n)), size, draw(st.integers(0, size - 1)))
        for n in longest[: draw(st.integers(1, len(longest)))]
        for size in [draw(st.integers(1, n + 5))]
    ]
    return Patches(*map(tuple, zip(*axes, strict=True)))


def series_of(patches, dtype="float32", components=2, missing=0.0, seed=0):
    """A series with a large mean in one component, as of pressures in Pa."""
    rng = np.random.default_rng(seed)
    shape = (*patches.shape, components)
    values = rng.normal((101325, 0.008)[:components], (800, 0.002)[:components], shape)
    values[rng.random(shape) < missing] = np.nan
    return xr.DataArray(values.astype(dtype), dims=("time", "y", "x", "component")[-values.ndim :])


def joined(patches, batches):
    return np.concatenate(list(patches.join(batches)))


@given(plans())
def test_every_patch_has_the_plans_size_and_every_entry_is_in_one(patches):
    covered = np.zeros(patches.shape, int)
    for patch in patches:
        assert tuple(each.stop - each.start for each in patch) == patches.patch
        covered[patch] += 1
    assert covered.min() >= 1
    assert covered.sum() == len(patches) * np.prod(patches.patch)
    for axis, (size, overlap) in enumerate(zip(patches.size, patches.overlap, strict=True)):
        starts = sorted({patch[axis].start for patch in patches})
        assert all(after - before <= size - overlap for before, after in pairwise(starts))


@given(
    plans(), st.integers(1, 7), st.sampled_from(["float32", "float64"]), st.sampled_from([0, 0.3])
)
def test_the_identity_gives_the_series_back(patches, batch, dtype, missing):
    series = series_of(patches, dtype, missing=missing)
    found = joined(patches, patches.cut(series, batch))
    assert found.dtype == dtype
    # In single precision to the last bit.
    np.testing.assert_allclose(found, series, rtol=0 if dtype == "float32" else 1e-14)


@given(plans(), st.integers(1, 7))
def test_weights_sum_to_one_so_that_constants_stay(patches, batch):
    """Also answers of more components than the series has."""
    answers = (np.full((*b.shape[:-1], 5), 288.15) for b in patches.cut(series_of(patches), batch))
    np.testing.assert_allclose(
        joined(patches, answers), np.full((*patches.shape, 5), 288.15), rtol=1e-14
    )


@given(plans(), st.data())
def test_neither_chunks_nor_batches_change_a_bit(patches, data):
    series = series_of(patches, missing=0.2)
    chunks = {
        dim: data.draw(st.integers(1, length), f"chunk of {dim}")
        for dim, length in series.sizes.items()
    }
    rng = np.random.default_rng(1)
    answers = rng.normal(size=(len(patches), *patches.patch, 2)).astype("float32")

    def answered(series, batch):
        done = 0
        for several in patches.cut(series, batch):
            yield several + answers[done : done + len(several)]
            done += len(several)

    at_once = joined(patches, answered(series, len(patches)))
    in_chunks = joined(patches, answered(series.chunk(chunks), data.draw(st.integers(1, 5))))
    np.testing.assert_array_equal(at_once, in_chunks)


@given(plans(), st.data())
def test_a_change_in_one_patch_is_seen_there_alone(patches, data):
    series = series_of(patches, "float64")
    changed = data.draw(st.integers(0, len(patches) - 1))
    cut = np.concatenate(list(patches.cut(series, 4)))
    cut[changed] += 1000.0
    difference = joined(patches, [cut]) - series.values
    inside = np.zeros(patches.shape, bool)
    inside[list(patches)[changed]] = True
    np.testing.assert_allclose(difference[~inside], 0, atol=1e-9)
    assert (difference[inside] > 0).all()
    assert (difference[inside] < 1000.001).all()


@given(plans(), st.data())
def test_where_a_patch_is_nan_the_series_is(patches, data):
    """And nowhere else, though other patches know the place."""
    cut = np.concatenate(list(patches.cut(series_of(patches), 4)))
    number = data.draw(st.integers(0, len(patches) - 1))
    cut[number, 0, ..., 0] = np.nan
    expected = np.zeros(patches.shape, bool)
    first, *tile = list(patches)[number]
    expected[first.start, *tile] = True
    found = np.isnan(joined(patches, [cut]))
    np.testing.assert_array_equal(found[..., 0], expected)
    assert not found[..., 1].any()


def test_two_patches_meet_smoothly():
    """From all of one to all of the other, and half of each in between."""
    patches = Patches((12,), (8,), (4,))
    blend = joined(patches, [np.stack([np.zeros((8, 1)), np.ones((8, 1))])])[:, 0]
    np.testing.assert_array_equal(blend[:4], 0)
    np.testing.assert_array_equal(blend[8:], 1)
    np.testing.assert_allclose(blend, 1 - blend[::-1], atol=1e-15)
    assert (np.diff(blend[3:9]) > 0).all()


def test_a_chunk_is_read_once():
    """Chunks that are longer and shorter than the windows, and at odds with them."""
    read = []

    def chunk(block_info):
        (place,) = {info["array-location"][0] for info in block_info.values()}
        read.append(place)
        return np.arange(*place, dtype="float32")[:, None]

    dask = pytest.importorskip("dask.array")
    values = dask.map_blocks(
        chunk, chunks=((7, 1, 30, 2, 2, 8), (1,)), dtype="float32", meta=np.empty((0, 0), "float32")
    )
    series = xr.DataArray(values, dims=("time", "component"))
    patches = Patches((50,), (10,), (4,))
    np.testing.assert_array_equal(joined(patches, patches.cut(series, 3)), np.arange(50.0)[:, None])
    assert sorted(read) == sorted(set(read))


def test_the_memory_is_that_of_the_patches_and_not_of_the_series():
    """Ten times the series, the same peak."""
    dask = pytest.importorskip("dask.array")

    def peak(times):
        values = dask.zeros((times, 90, 90, 1), chunks=(30, 90, 90, 1), dtype="float32")
        series = xr.DataArray(values, dims=("time", "y", "x", "component"))
        patches = Patches(series.shape[:-1], (40, 48, 48), (10, 8, 8))
        tracemalloc.start()
        try:
            for slab in patches.join(patches.cut(series, 4)):
                assert not slab.any()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what dask imports
    assert peak(1500) < 1.1 * peak(150)


@pytest.mark.parametrize(
    ("shape", "size", "overlap"),
    [((0,), (3,), (1,)), ((5,), (0,), (0,)), ((5, 5), (3, 3), (1, 3)), ((5,), (3,), (-1,))],
)
def test_plans_that_do_not_cover_are_refused(shape, size, overlap):
    with pytest.raises(InputError, match="expected a size and a length of at least 1"):
        Patches(shape, size, overlap)


def test_what_does_not_fit_the_plan_is_refused():
    patches = Patches((10,), (4,), (1,))
    with pytest.raises(InputError, match=r"expected the shape \(10,\)"):
        next(patches.cut(xr.DataArray(np.zeros((11, 1)), dims=("time", "component")), 1))
    with pytest.raises(InputError, match=r"expected \(4,\) and the components"):
        next(patches.join([np.zeros((1, 1, 2))]))
    with pytest.raises(ValueError, match="shorter"):
        list(patches.join([np.zeros((2, 4, 1))]))


@given(plans(), st.integers(1, 7))
def test_what_does_not_change_is_cut_as_a_series_of_it(patches, batch):
    values = np.random.default_rng(0).random(patches.shape[1:]) < 0.5
    dims = (*("time", "y", "x")[: len(patches.shape)], "component")
    series = xr.DataArray(np.broadcast_to(values[..., None], (*patches.shape, 1)), dims=dims)
    pairs = zip(patches.cut_still(values, batch), patches.cut(series, batch), strict=True)
    for still, changing in pairs:
        np.testing.assert_array_equal(still, changing[:, 0, ..., 0])
