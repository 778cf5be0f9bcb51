"""A user's data set as a series of states, and the way back to its form."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr

from tf4dvar.data.covariates import (
    COVARIATE,
    COVARIATES,
    covariates_of,
    has_some,
    without_gaps,
)
from tf4dvar.data.domain import land_of
from tf4dvar.data.layout import COMPONENT, UNITS, Layout, as_dataset
from tf4dvar.data.patches import Patches
from tf4dvar.data.signature import Signature
from tf4dvar.data.time_axis import regular
from tf4dvar.data.transforms import restored, transformed
from tf4dvar.errors import InputError


@dataclass(frozen=True)
class Series:
    """A data set of one series as it was given, and its states [time, *space, component].

    Args:
        dataset: its variables in any form that has a `Layout` without windows, as `open_data`
            gives it.
        layout: of the data set.
        transforms: names of `TRANSFORMS` by those of components, on whose scale the states are.
    """

    dataset: xr.Dataset
    layout: Layout
    transforms: Mapping[str, str]

    @classmethod
    def of(
        cls,
        data: xr.Dataset | xr.DataArray,
        dims: Mapping[str, str] | None = None,
        transforms: Mapping[str, str] | None = None,
    ) -> "Series":
        """The series of a data set.

        Args:
            data: a data set or an array with a dimension of time.
            dims: see `open_data`.
            transforms: as of the class.

        Raises:
            InputError: see `Layout.of`, or it is one of windows.
        """
        dataset = as_dataset(data)
        layout = Layout.of(dataset, dims)
        if layout.window:
            raise InputError(
                f"Received the {dataset.sizes[layout.window]} windows of a data set; expected one "
                "series in time. A model's fit and reconstruct take windows as they are."
            )
        return cls(dataset, layout, transforms or {})

    def in_order_of(self, signature: Signature) -> "Series":
        """The same series with its components as a signature has them.

        Args:
            signature: of a system's states, for example.

        Raises:
            InputError: it has other components, or other units; see `Signature.arrangement`.
        """
        order = signature.arrangement(self.observations).get(COMPONENT)
        if order is None:
            return self
        dataset = self.dataset.isel({COMPONENT: order}) if self.layout.held else self.dataset
        names = tuple(self.layout.variables[place] for place in order)
        return replace(self, dataset=dataset, layout=replace(self.layout, variables=names))

    @cached_property
    def _regular(self) -> xr.Dataset:
        return regular(self.dataset, self.layout.time)

    @cached_property
    def observations(self) -> xr.DataArray:
        """[time, *space, component], at regular times, on the scale of the transforms, lazily."""
        stacked = self.layout.stack(self._regular)
        return self._transformed(stacked)

    @cached_property
    def noise_variance(self) -> xr.DataArray | None:
        """The variances of the observations' noise, as they are; None where none is told."""
        variance = self.layout.noise_variance(self._regular)
        if variance is None or not self.transforms:
            return variance
        # To first order, with the slope of the transform at the observation.
        values = self.layout.stack(self._regular)
        step = 1e-4 * np.abs(values)
        slope = (self._transformed(values + step) - self._transformed(values - step)) / (2 * step)
        unchanged = ~values[COMPONENT].isin(list(self.transforms))
        return variance * xr.where(unchanged, 1.0, np.square(slope))

    @cached_property
    def land(self) -> xr.DataArray | None:
        """Where there is no state, [*space], see `land_of`; None where that is nowhere."""
        return land_of(self.dataset, self.layout.time, self.layout.space)

    @cached_property
    def covariates(self) -> xr.DataArray | None:
        """What is known at the regular times, [time, covariate]; None where there is none."""
        if not has_some(self.dataset):
            return None
        found = self._regular[COVARIATES].transpose(self.layout.time, COVARIATE)
        return without_gaps(found, self.dataset.sizes[self.layout.time])

    def known(self, names: Sequence[str]) -> xr.DataArray:
        """The covariates of these names, in their order.

        Args:
            names: what the dynamics depend on.

        Raises:
            InputError: some are not there.
        """
        dims = self.layout.time, COVARIATE
        told = self.covariates
        dataset = xr.Dataset() if told is None else told.to_dataset(name=COVARIATES)
        return xr.DataArray(covariates_of(dataset, names, dims), dims=dims)

    def _transformed(self, stacked):
        if not self.transforms:
            return stacked
        parts = [
            stacked.sel({COMPONENT: [name]})
            if name not in self.transforms
            else xr.apply_ufunc(
                transformed,
                stacked.sel({COMPONENT: [name]}),
                kwargs={"name": self.transforms[name]},
                dask="parallelized",
                output_dtypes=[stacked.dtype],
                keep_attrs=True,
            )
            for name in self.layout.variables
        ]
        return xr.concat(parts, COMPONENT).transpose(*stacked.dims)

    def physical(self, states: np.ndarray) -> np.ndarray:
        """States in the units of the data set, off the scale of the transforms.

        Args:
            states: [..., component], in the order of the layout.
        """
        if not self.transforms:
            return states
        parts = [
            restored(states[..., i], self.transforms[name])
            if name in self.transforms
            else states[..., i]
            for i, name in enumerate(self.layout.variables)
        ]
        return np.stack(parts, axis=-1)

    def windows(self, stacked: xr.DataArray, window: int) -> xr.DataArray:
        """Windows one after the other, [window, time, *space, component], lazily.

        What is left at the end is no window; a series that is shorter than a window is one.

        Args:
            stacked: `observations`, or others like them.
            window: steps of each.
        """
        time = self.layout.time
        steps = min(window, stacked.sizes[time])
        times = stacked[time][:steps] if time in stacked.coords else None
        stacked = stacked.drop_vars(time, errors="ignore")
        cut = stacked.coarsen({time: steps}, boundary="trim").construct({time: ("window", time)})
        cut = cut.transpose("window", ...)
        return cut if times is None else cut.assign_coords({time: times})

    def patches(self, window: int, overlap: int) -> Patches:
        """How the series is cut into windows of the whole space.

        Args:
            window: steps of each; of a series that is shorter, all.
            overlap: steps that neighbours share, at least.
        """
        time, *space = self.observations.shape[:-1]
        return Patches((time, *space), (window, *space), (overlap, *[0] * len(space)))

    def cut(self, window: int, overlap: int = 0, truth: xr.DataArray | None = None) -> xr.Dataset:
        """A data set of windows that cover the series; the last one begins early enough.

        Args:
            window, overlap: see `patches`.
            truth: the true states, if they are known, as `at_times_of` gives them.

        Returns:
            `observations` and, where they are known, `truth`, `noise_variance` and `covariates`, in
            memory; where there is land the coordinate `domain`, true at sea.
        """
        parts = {
            "observations": self.observations,
            "noise_variance": self.noise_variance,
            "truth": truth,
        }
        patches = self.patches(window, overlap)
        dims = ("window", "time", *self.layout.space, COMPONENT)
        observed = self.observations[: patches.patch[0]]
        # Of the file's own coordinates those of the axes alone: others may have our names.
        axes = {*self.layout.dims, UNITS} & set(observed.coords)
        along = {dim: observed[dim].variable for dim in axes}
        if self.layout.time in along:
            along["time"] = along.pop(self.layout.time).copy(deep=False)
            along["time"].dims = ("time",)
        cut = {
            name: (dims, np.concatenate(list(patches.cut(each, 1))))
            for name, each in parts.items()
            if each is not None
        }
        if self.land is not None:
            along["domain"] = ~self.land.variable
        result = xr.Dataset(cut, along, self.dataset.attrs)
        if self.covariates is None:
            return result
        known = np.concatenate(list(patches.of_time.cut(self.covariates, 1)))
        result[COVARIATES] = ("window", "time", COVARIATE), known
        return result.assign_coords({COVARIATE: self.covariates[COVARIATE].values})

    def at_times_of(self, other: "Series") -> xr.DataArray:
        """The states at the times and of the components of another series.

        They are NaN where unknown, and on its land.

        Args:
            other: it.

        Raises:
            InputError: its components are others.
        """
        if set(self.layout.variables) != set(other.layout.variables):
            raise InputError(
                f"Received true states of {', '.join(self.layout.variables)}; expected the "
                f"variables of the observations, {', '.join(other.layout.variables)}."
            )
        like = other.observations
        states = self.observations.rename(dict(zip(self.layout.dims, like.dims, strict=True)))
        places = {dim: like[dim] for dim in like.dims if dim in like.coords}
        states = states.reindex(places).transpose(*like.dims)
        return states if other.land is None else states.where(~other.land)

    @property
    def like(self) -> xr.Dataset:
        """The data set with its variables alone, the form of their states."""
        return self.layout.alone(self.dataset)

    def restored(self, slabs: Iterable[np.ndarray]) -> Iterator[xr.Dataset]:
        """States in the form of the data set, slab by slab, at its own times.

        Args:
            slabs: [time, *space, component], one after the other, of the regular times.

        Yields:
            The data set's variables.
        """
        time = self.layout.time
        there = np.ones(self._regular.sizes[time], bool)
        if len(there) > self.dataset.sizes[time]:
            there = self._regular.get_index(time).isin(self.dataset.get_index(time))
        start = rows = 0
        for slab in slabs:
            kept = there[start : start + len(slab)]
            start += len(slab)
            if not kept.any():
                continue
            like = self.dataset.isel({time: slice(rows, rows + int(kept.sum()))})
            rows += int(kept.sum())
            labels = {COMPONENT: list(self.layout.variables)}
            states = xr.DataArray(self.physical(slab[kept]), labels, self.layout.dims)
            yield self.layout.unstack(states, like)


def with_errors(
    states: xr.Dataset, errors: xr.Dataset, transforms: Mapping[str, str] | None = None
) -> xr.Dataset:
    """A data set of states with `NAME_error` beside each variable, their standard deviations.

    Args:
        states, errors: of the same form.
        transforms: names of those on whose scale the errors are, by those of variables.
    """
    named = {}
    for name, error in errors.data_vars.items():
        transform = (transforms or {}).get(str(name))
        told = {"long_name": f"standard deviation of the error of {name}"}
        if transform is not None:
            told = {"long_name": f"standard deviation of the error of {transform}({name})"}
        elif "units" in error.attrs:
            told["units"] = error.attrs["units"]
        # Packing is of the values, and may not have the room for their errors.
        named[f"{name}_error"] = xr.DataArray(error.variable).drop_encoding()
        named[f"{name}_error"].attrs = told
    return states.assign(named)
