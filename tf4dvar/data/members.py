"""The realisations in a file of maps or of series, each of which is a series of its own."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from tf4dvar.data.arrays import as_dataset
from tf4dvar.data.conventions import member_dim
from tf4dvar.data.grid import Grid
from tf4dvar.data.opening import open_data
from tf4dvar.data.series import Series
from tf4dvar.data.signature import Signature
from tf4dvar.data.stores import Source
from tf4dvar.data.time_axis import is_dates, numbers_of
from tf4dvar.data.units import SECONDS, in_seconds
from tf4dvar.errors import InputError, shown
from tf4dvar.runtime import check_memory

# Of the memory while values are read: as they are in the file, of each member, and of all.
COPIES = 3


@dataclass(frozen=True)
class Members:
    """Series of one form, none of which goes on in another. A file without members has one.

    Attributes:
        dataset: of all of them.
        series: of each member.
        dim: the data set's dimension of members; None where it has none.

    Usage:

        from tf4dvar.data.fields import simulate_fields
        from tf4dvar.data.members import Members
        from tf4dvar.systems import QuasiGeostrophic
        from tf4dvar.systems.instruments import PLANS

        system = QuasiGeostrophic(points=16)
        data = simulate_fields(system, PLANS["nadirs"], days=3, members=2, spin_up=2)
        members = Members.open(data)
        assert members.observations.shape == (2, 3, 16, 16, 1)
    """

    dataset: xr.Dataset
    series: tuple[Series, ...]
    dim: str | None = None

    @classmethod
    def of(
        cls, data: xr.Dataset | xr.DataArray, dims: Mapping[str, str] | None = None
    ) -> "Members":
        """The members of a data set.

        Args:
            data: a data set or an array, as `open_data` gives it.
            dims: see `open_data`.

        Raises:
            InputError: see `Series.of`, or some variables are of no member.
        """
        dataset = as_dataset(data)
        dim = member_dim(dataset)
        if dim is None:
            return cls(dataset, (Series.of(dataset, dims),))
        parts = [dataset.isel({dim: i}, drop=True) for i in range(dataset.sizes[dim])]
        members = cls(dataset, tuple(Series.of(each, dims) for each in parts), dim)
        without = [name for name in members.first.layout.names if dim not in dataset[name].dims]
        if without:
            raise InputError(
                f"Received the variables {shown(without)} without the dimension {dim!r} that "
                "others have; expected it of all. Name those that belong together: variables=[...]."
            )
        return members

    @classmethod
    def open(
        cls, source: Source, variables: Sequence[str] | None = None, **options: Any
    ) -> "Members":
        """The members of a file.

        Args:
            source, variables: see `open_data`.
            options: the others of `open_data`.

        Raises:
            InputError: see `open_data` and `of`.
        """
        return cls.of(open_data(source, variables, **options), options.get("dims"))

    def with_transforms(self, transforms: Mapping[str, str]) -> "Members":
        """The same on the scale of transforms.

        Args:
            transforms: see `Series`.
        """
        return self._each(lambda series: replace(series, transforms=transforms))

    def in_order_of(self, signature: Signature) -> "Members":
        """The same with their components as a signature has them.

        Args:
            signature: see `Series.in_order_of`.
        """
        return self._each(lambda series: series.in_order_of(signature))

    def _each(self, change):
        return replace(self, series=tuple(map(change, self.series)))

    @property
    def first(self) -> Series:
        """The series of the first member, whose form all have."""
        return self.series[0]

    @property
    def of_fields(self) -> bool:
        """Whether they are maps."""
        return len(self.first.layout.space) == 2

    @cached_property
    def observations(self) -> np.ndarray:
        """[member, time, *space, component], at regular times, double precision.

        Raises:
            InputError: the memory is too small for them.
        """
        shape = (len(self.series), *self.first.observations.shape)
        check_memory(
            COPIES * 8 * math.prod(shape),
            f"Received values of shape {shape}",
            "Take fewer times or a part of the grid.",
        )
        return np.stack([each.observations.values.astype("float64") for each in self.series])

    @cached_property
    def noise_variance(self) -> np.ndarray | None:
        """Of the observations, shaped as they are; None where the file does not tell it."""
        told = [each.noise_variance for each in self.series]
        if any(each is None for each in told):
            return None
        return np.stack([each.values.astype("float64") for each in told if each is not None])

    @property
    def days(self) -> np.ndarray:
        """The regular times, days since the first; numbers without a unit are days.

        Raises:
            InputError: they are in a unit that is none of time.
        """
        time = self.first.layout.time
        times = self.first.observations[time]
        numbers = numbers_of(times)
        unit = "s" if is_dates(times) else str(times.attrs.get("units", "")) or "d"
        seconds, known = in_seconds(1.0, unit)
        if known != "s":
            raise InputError(
                f"Received times in {unit!r}; expected dates, or one of {', '.join(SECONDS)}."
            )
        return (numbers - numbers[0]) * seconds / SECONDS["d"]

    @cached_property
    def grid(self) -> Grid:
        """The grid of the maps, with land outside the domain that a mask tells.

        Raises:
            InputError: see `Grid.of`.
        """
        land = self.first.land
        return Grid.of(self.first.observations, None if land is None else land.values)

    def at_times_of(self, other: "Members") -> list[xr.DataArray]:
        """The states of each member of others; see `Series.at_times_of`.

        Args:
            other: they; where both have labels, members are found by these.

        Raises:
            InputError: they are of other members.
        """
        ours, theirs = self._labels, other._labels
        if len(self.series) != len(other.series) or (
            ours is not None and theirs is not None and {*ours} != {*theirs}
        ):
            raise InputError(
                f"Received states of {len(self.series)} members; expected {len(other.series)}, as "
                f"of the observations. Their labels are {shown(ours)} and {shown(theirs)}."
            )
        places: Iterable[int] = range(len(self.series))
        if ours is not None and theirs is not None:
            places = map(ours.index, theirs)
        return [
            self.series[place].at_times_of(of)
            for place, of in zip(places, other.series, strict=True)
        ]

    @property
    def _labels(self):
        if self.dim is None or self.dim not in self.dataset.coords:
            return None
        return self.dataset[self.dim].values.tolist()

    def windows(self, stacked: Iterable[xr.DataArray], window: int) -> xr.DataArray:
        """Windows of one member after the other, [window, time, *space, component].

        Args:
            stacked: of each member, `observations`, or others like them.
            window: see `Series.windows`.
        """
        return _joined(
            [series.windows(of, window) for series, of in zip(self.series, stacked, strict=True)]
        )

    def cut(self, window: int, overlap: int = 0, truth: "Members | None" = None) -> xr.Dataset:
        """A data set of windows that cover one member after the other.

        Args:
            window, overlap: see `Series.cut`.
            truth: the true states, if they are known.
        """
        true = [None] * len(self.series) if truth is None else truth.at_times_of(self)
        return _joined(
            [each.cut(window, overlap, of) for each, of in zip(self.series, true, strict=True)]
        )

    @property
    def like(self) -> xr.Dataset:
        """The data set with its variables alone, the form of their states."""
        return self.first.layout.alone(self.dataset)

    def restored(self, states: np.ndarray) -> xr.Dataset:
        """States in the form of the file, at its own times.

        Args:
            states: [member, time, *space, component], at the regular times.
        """
        (whole,) = self.joined(
            series.restored([of]) for series, of in zip(self.series, states, strict=True)
        )
        return whole

    def joined(self, slabs: Iterable[Iterable[xr.Dataset]]) -> Iterator[xr.Dataset]:
        """States of members in the form of the file, slab by slab.

        Args:
            slabs: of `Series.restored`, of each member.
        """
        for parts in zip(*slabs, strict=True):
            if self.dim is None:
                yield parts[0]
                continue
            whole = xr.concat(
                parts, self.dim, data_vars="all", coords="different", compat="equals", join="exact"
            )
            along = {
                name: coordinate
                for name, coordinate in self.dataset.coords.items()
                if coordinate.dims == (self.dim,)
            }
            for name, variable in whole.data_vars.items():
                whole[name] = variable.transpose(*self.dataset[name].dims)
                whole[name].encoding = self.dataset[name].encoding
            yield whole.assign_coords(along)


def _joined(parts):
    """Windows of several series, which are alike, as they are of one."""
    if len(parts) == 1:
        return parts[0]
    return xr.concat(
        parts, "window", data_vars="all", coords="minimal", compat="override", join="exact"
    )
