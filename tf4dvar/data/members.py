"""The realisations in a file of maps or of series, each of which is a series of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import psutil
import xarray as xr

from tf4dvar.data.grid import Grid
from tf4dvar.data.layout import COMPONENT, domain_of
from tf4dvar.data.opening import open_data
from tf4dvar.data.series import Series
from tf4dvar.data.stores import Source, open_source
from tf4dvar.data.time_axis import is_dates, numbers_of
from tf4dvar.data.units import SECONDS, in_seconds
from tf4dvar.errors import InputError

NAMES = ("member", "realization", "ensemble")
STANDARD_NAME = "realization"
# Of the memory while values are read: as they are in the file, of each member, and of all.
COPIES = 3


@dataclass(frozen=True)
class Members:
    """Series of one form. A file without a dimension of members has one.

    Attributes:
        series: of each member.
        dim: the file's dimension of members; None where it has none.
        labels: the members' coordinate; None where they have none.

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

    series: tuple[Series, ...]
    dim: str | None = None
    labels: xr.DataArray | None = None

    @classmethod
    def open(
        cls, source: Source, variables: Sequence[str] | None = None, **options: Any
    ) -> "Members":
        """The members of a file.

        Args:
            source, variables: see `open_data`.
            options: the others of `open_data`.

        Raises:
            InputError: see `open_data`.
        """
        dataset = open_source(source)
        dim, parts = separated(dataset)
        labels = dataset[dim] if dim is not None and dim in dataset.coords else None
        opened = (open_data(each, variables, **options) for each in parts)
        return cls(tuple(Series.of(each, options.get("dims")) for each in opened), dim, labels)

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
        needed, available = COPIES * 8 * math.prod(shape), psutil.virtual_memory().total
        if needed > available:
            raise InputError(
                f"Received values of shape {shape}, to read which some {needed / 1e9:.0f} GB are "
                f"needed; there are {available / 1e9:.0f}. Take fewer times or a part of the grid."
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
        layout = self.first.layout
        domain = domain_of(self.first.dataset, layout.time)
        land = None
        if domain is not None:
            sea = domain.broadcast_like(
                self.first.observations.isel({layout.time: 0, COMPONENT: 0})
            )
            land = ~sea.transpose(*layout.space).values.astype(bool)
        return Grid.of(self.first.observations, land)

    def restored(self, states: np.ndarray) -> xr.Dataset:
        """States in the form of the file, at its own times.

        Args:
            states: [member, time, *space, component], at the regular times.
        """
        parts = [
            next(series.restored([of])) for series, of in zip(self.series, states, strict=True)
        ]
        if self.dim is None:
            return parts[0]
        joined = xr.concat(parts, self.dim, coords="minimal", compat="override")
        for name, variable in parts[0].data_vars.items():
            joined[name].encoding = variable.encoding
        return joined if self.labels is None else joined.assign_coords({self.dim: self.labels})


def separated(dataset: xr.Dataset) -> tuple[str | None, list[xr.Dataset]]:
    """The dimension of members, None where there is none, and the data set of each.

    Args:
        dataset: the data set.

    Raises:
        InputError: there are two such dimensions.
    """
    dims = [
        str(dim)
        for dim in dataset.dims
        if dim in NAMES
        or (dim in dataset.coords and dataset[dim].attrs.get("standard_name") == STANDARD_NAME)
    ]
    if not dims:
        return None, [dataset]
    if len(dims) > 1:
        raise InputError(
            f"Received the dimensions {' and '.join(dims)}, each of which is of realisations; "
            "expected one. Select from the others: dataset.isel(...)."
        )
    (dim,) = dims
    return dim, [dataset.isel({dim: i}, drop=True) for i in range(dataset.sizes[dim])]
