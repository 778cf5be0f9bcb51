"""What a model was trained on, and whether other data are of that kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tf4dvar.data import fitting, signature_record
from tf4dvar.data.patterns import Pattern
from tf4dvar.data.signature_record import Count, Name, Number, Positive, Steps
from tf4dvar.data.stacked import (
    axis_of,
    component_names,
    dims_of,
    looked_at,
    numbers,
    regular_step,
    units_of,
)
from tf4dvar.systems import System

# Steps of the windows into which a series is cut, and those that neighbours share.
WINDOW, OVERLAP = 40, 10
# Components of which each has numbers of its own; of more those of all are told.
MANY = 64
# Components whose names are kept.
NAMED = 4096


@dataclass(frozen=True)
class Signature:
    """What a model was trained on: labels, units, axes, values and patterns of observations.

    Units, transforms and noise are told once where they are the same for all components, values and
    patterns for each of 64 components, and of more for all together.

    Attributes:
        components: their names in the model's order; none where they had only numbers.
        size: number of components.
        units: of the components, "" where unknown.
        transforms: what was done to the components before, as "log10", or None.
        time: name of the dimension.
        time_step, time_units: between two times: seconds and "s" for dates, else a number and its
            unit; None and "" where the data did not tell.
        space: names of the dimensions of space.
        spacing: between two places on each of them, negative where the coordinate descends; None
            where the data did not tell.
        periodic: whether each of them is a circle.
        low, high: least and greatest observed value of the components.
        noise_variance: of the observations, for all or for each component; None where unknown.
        covariates: names of what the model knows in time beside them, in its order.
        patterns: how the components are observed.
        window, overlap: steps of the windows, and of those that neighbours are to share when a
            series is cut.
    """

    components: tuple[Name, ...]
    size: Steps
    units: tuple[Name, ...] = ("",)
    transforms: tuple[Name | None, ...] = (None,)
    time: Name = "time"
    time_step: Positive | None = None
    time_units: Name = ""
    space: tuple[Name, ...] = ()
    spacing: tuple[Number | None, ...] = ()
    periodic: tuple[bool, ...] = ()
    low: tuple[Number | None, ...] = ()
    high: tuple[Number | None, ...] = ()
    noise_variance: Positive | tuple[Positive, ...] | None = None
    covariates: tuple[Name, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    window: Steps = WINDOW
    overlap: Count = OVERLAP

    @classmethod
    def of(
        cls,
        stacked: xr.DataArray,
        noise_variance: float | Sequence[float] | None = None,
        periodic: Sequence[bool] | None = None,
        transforms: Sequence[str | None] | None = None,
        overlap: int | None = None,
        covariates: Sequence[str] = (),
    ) -> "Signature":
        """That of training data.

        Args:
            stacked: observations, [window, time, *space, component] without the first if it is one
                series, physical units, NaN = not observed; a `component` without names, or with
                0, 1, 2, ..., has none. `units` is an attribute or a coordinate along `component`.
            noise_variance: of the observations, where the model is not told of it: a number, or
                one for each component.
            periodic: whether each dimension of space is a circle; by default longitudes that go
                all the way round are.
            transforms: what was done to the components before.
            overlap: as of the class; by default a quarter of a window.
            covariates: as of the class.

        Raises:
            InputError: no such dimensions, two components of a name, or times that do not ascend or
                of which some are missing.
        """
        dims = dims_of(stacked)
        labels = numbers(stacked, "component")
        size = stacked.sizes["component"]
        step, time_units = regular_step(stacked, dims.time) or (None, "")
        axes = [axis_of(stacked, name) for name in dims.space]
        low, high, observed = looked_at(stacked, 1 if size > MANY else size)
        variance = noise_variance
        if variance is not None:
            variance = _once(np.ravel(np.asarray(variance, float)).tolist())
            variance = variance[0] if len(variance) == 1 else variance
        return cls(
            components=component_names(stacked) if labels is None and size <= NAMED else (),
            size=size,
            units=_once(units_of(stacked)),
            transforms=_once(transforms or [None]),
            time=dims.time,
            time_step=step,
            time_units=time_units,
            space=dims.space,
            spacing=tuple(axis.spacing for axis in axes),
            periodic=tuple(axis.circle for axis in axes) if periodic is None else tuple(periodic),
            low=low,
            high=high,
            noise_variance=variance,
            covariates=tuple(covariates),
            patterns=observed.patterns(),
            window=stacked.sizes[dims.time],
            overlap=stacked.sizes[dims.time] // 4 if overlap is None else overlap,
        )

    @classmethod
    def of_system(cls, system: System) -> "Signature":
        """That of a system's states: its components and their units.

        Args:
            system: it.
        """
        units = system.units
        units = (units,) if isinstance(units, str) else tuple(units)
        return cls(tuple(system.components), len(system.components), _once(units))

    def arrangement(self, stacked: xr.DataArray) -> dict[str, np.ndarray]:
        """Where in the data that is which the model takes: indices along what is in another order.

        Components are found by their names, places by the direction of their coordinates. What
        has no labels is taken as it is.

        Args:
            stacked: as for `of`; its values are not looked at.

        Raises:
            InputError: components, units, time step or grid are not those of the training.
        """
        return fitting.arrangement(self, stacked)

    def arranged(self, stacked: xr.DataArray) -> xr.DataArray:
        """Data as the model takes them, after a look at their values; see `warn_of`.

        Args:
            stacked: as for `of`.

        Raises:
            InputError: as `arrangement`.
        """
        arranged = stacked.isel(self.arrangement(stacked))
        self.warn_of(arranged)
        return arranged

    def restored(self, states: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
        """States in the order of the data that they are of.

        Args:
            states: of `arranged(like)`, with its dimensions.
            like: the data.
        """
        back = {dim: np.argsort(order) for dim, order in self.arrangement(like).items()}
        return states.isel(back)

    def warn_of(self, arranged: xr.DataArray) -> None:
        """Warn of labels that are missing, and of values and patterns beyond the training's.

        Args:
            arranged: data in the model's order, as for `of`.
        """
        fitting.warn_of_labels(self, arranged)
        if arranged.sizes["component"] == self.size and self.patterns:
            fitting.warn_of_values(self, arranged)

    def name(self, component: int) -> str:
        """The name of a component for a message.

        Args:
            component: its number.
        """
        return self.components[component] if self.components else f"component {component}"

    def to_json(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        return signature_record.written(self)

    @classmethod
    def from_json(cls, record: Any) -> "Signature":
        """The signature that `to_json` has written.

        Args:
            record: whatever was read.

        Raises:
            InputError: it is no signature.
        """
        return signature_record.read(cls, record)


def _once(values):
    """A tuple; of one where all are the same."""
    values = tuple(values)
    return values[:1] if len(set(values)) == 1 else values
