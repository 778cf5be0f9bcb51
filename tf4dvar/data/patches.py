"""Windows of a series and tiles of its grid that overlap, and how they are blended back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import chain, islice, product
from math import prod

import numpy as np
import xarray as xr

from tf4dvar.errors import InputError


@dataclass(frozen=True)
class Patches:
    """A plan of patches of one size that cover a series, each overlapping its neighbours.

    Along every axis a patch begins each `size - overlap` entries; the last one ends with the axis,
    and so overlaps more. An axis shorter than `size` has one patch, as long as itself: nothing is
    padded.

    Iterating gives the patches, each a tuple of slices, in the order in which they are cut and
    joined: all tiles of one window in time, then those of the next.

    Args:
        shape: of the series, (time, *space).
        size: of a patch along each of these axes.
        overlap: of neighbours along each of these axes, at least.

    Raises:
        InputError: an axis is empty, or an overlap leaves no step forward.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    overlap: tuple[int, ...]

    def __post_init__(self):
        axes = zip(self.shape, self.size, self.overlap, strict=True)
        if not all(length >= 1 and 0 <= overlap < size for length, size, overlap in axes):
            raise InputError(
                f"Received patches of size {self.size} with an overlap of {self.overlap} for a "
                f"series of shape {self.shape}; expected a size and a length of at least 1 along "
                "each axis, and an overlap from 0 to less than the size."
            )

    @property
    def patch(self) -> tuple[int, ...]:
        """The shape of every patch, (time, *space)."""
        return tuple(map(min, self.shape, self.size))

    @property
    def of_time(self) -> "Patches":
        """Those of a series in the same time that has no space."""
        return Patches(self.shape[:1], self.size[:1], self.overlap[:1])

    def __len__(self) -> int:
        return prod(1 + len(self._starts(axis)) for axis in range(len(self.shape)))

    def __iter__(self) -> Iterator[tuple[slice, ...]]:
        # Of the windows one at a time: a series may have very many.
        tiles = list(product(*map(self._slices, range(1, len(self.shape)))))
        return ((window, *tile) for window in self._slices(0) for tile in tiles)

    def cut(self, series: xr.DataArray, batch: int) -> Iterator[np.ndarray]:
        """The patches of a series, read as they are asked for.

        Of a series in chunks (dask) each chunk is read once; beside the patches, the memory holds
        one window of the whole space and the chunks that it ends in.

        Args:
            series: (time, *space, component).
            batch: number of patches that are given at once; of the last the rest.

        Yields:
            [batch, time, *space, component].

        Raises:
            InputError: the series has another shape than the plan.
        """
        if series.shape[:-1] != self.shape:
            raise InputError(
                f"Received a series {dict(series.sizes)}; expected the shape {self.shape} of the "
                "plan, and the components last."
            )
        tiles = list(product(*map(self._slices, range(1, len(self.shape)))))
        patches = (window[:, *tile] for window in self._windows(series) for tile in tiles)
        while several := list(islice(patches, batch)):
            yield np.stack(several)

    def cut_still(self, values: np.ndarray, batch: int) -> Iterator[np.ndarray]:
        """What does not change in time, as land, cut into the tiles of the patches.

        Args:
            values: [*space].
            batch: see `cut`.

        Yields:
            [batch, *space], of the patches that `cut` gives.
        """
        tiles = (values[*tile] for _, *tile in self)
        while several := list(islice(tiles, batch)):
            yield np.stack(several)

    def join(self, answers: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The series again, from what was made of its patches.

        Where patches overlap, the mean weighted by a Hann window over the patch, along each axis.
        The answers are added one by one in their order and in double precision: how they were
        batched changes no bit. NaN in a patch, as on land, is NaN in the series.

        Args:
            answers: batches of patches in the order of `cut`, of any number; each patch has the
                plan's size, and any number of components.

        Yields:
            Slabs [time, *space, component], one after the other, as soon as no later patch
            touches them; the memory holds one window of the whole space.
        """
        weight = self._weight()
        each = (answer for several in answers for answer in several)
        first = next(each)
        slab = self.patch[0], *self.shape[1:]
        total, weights = np.zeros((*slab, first.shape[-1])), np.zeros((*slab, 1))
        start = 0
        for (window, *tile), answer in zip(self, chain([first], each), strict=True):
            if answer.shape[:-1] != self.patch:
                raise InputError(
                    f"Received an answer of shape {answer.shape} for a patch; expected "
                    f"{self.patch} and the components."
                )
            if window.start > start:
                done = window.start - start
                yield (total[:done] / weights[:done]).astype(first.dtype)
                total, weights = _shifted(total, done), _shifted(weights, done)
                start = window.start
            total[:, *tile] += weight * answer
            weights[:, *tile] += weight
        yield (total / weights).astype(first.dtype)

    def _starts(self, axis):
        """Where patches begin along an axis, but for the last."""
        last = self.shape[axis] - self.patch[axis]
        return range(0, last, self.size[axis] - self.overlap[axis])

    def _slices(self, axis):
        length = self.patch[axis]
        for start in self._starts(axis):
            yield slice(start, start + length)
        yield slice(self.shape[axis] - length, self.shape[axis])

    def _windows(self, series):
        """The windows of the whole space, of which no time is read twice."""
        chunk_ends = np.cumsum(series.chunks[0]) if series.chunks else None
        held, first, end = np.empty((0, *series.shape[1:]), series.dtype), 0, 0
        for window in self._slices(0):
            if window.stop > end:
                stop = window.stop
                if chunk_ends is not None:  # dask reads a whole chunk for any part of it
                    stop = int(chunk_ends[np.searchsorted(chunk_ends, stop)])
                held = np.concatenate([held[window.start - first :], series[end:stop].to_numpy()])
                first, end = window.start, stop
            yield held[window.start - first : window.stop - first]

    def _weight(self):
        """The Hann window over a patch [time, *space, 1], positive up to the ends."""
        tapers = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in self.patch]
        return reduce(np.multiply.outer, tapers)[..., None]


def _shifted(array, steps):
    """An array moved to earlier times, zeros behind."""
    return np.concatenate([array[steps:], np.zeros_like(array[:steps])])
