"""What a model was trained on, and whether other data are of that kind."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tf4dvar.data import signature_record
from tf4dvar.data.patterns import Observed, Pattern, chunks
from tf4dvar.data.stacked import axis_of, dims_of, numbers, regular_step, units_of
from tf4dvar.data.units import SECONDS, same_units, unit_name
from tf4dvar.errors import InputError, shown
from tf4dvar.systems import System

logger = logging.getLogger(__name__)

# Relative: single precision has seven digits, of a coordinate far from 0 fewer.
TOLERANCE = 1e-3
# Steps of the windows into which a series is cut, and those that neighbours share.
WINDOW, OVERLAP = 40, 10
# Components of which each has numbers of its own; of more those of all are told.
MANY = 64
# Components whose names are kept.
NAMED = 4096
# In widths of the training's range, by how much values are far beyond it.
FAR = 1.0


@dataclass(frozen=True)
class Signature:
    """What a model was trained on: labels, units, axes, values and patterns of observations.

    What there is for every component is told once where it is the same for all, and of more than
    64 components for all together.

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
        patterns: how the components are observed.
        window, overlap: steps of the windows, and of those that neighbours are to share when a
            series is cut.
    """

    components: tuple[str, ...]
    size: int
    units: tuple[str, ...] = ("",)
    transforms: tuple[str | None, ...] = (None,)
    time: str = "time"
    time_step: float | None = None
    time_units: str = ""
    space: tuple[str, ...] = ()
    spacing: tuple[float | None, ...] = ()
    periodic: tuple[bool, ...] = ()
    low: tuple[float | None, ...] = (None,)
    high: tuple[float | None, ...] = (None,)
    noise_variance: float | tuple[float, ...] | None = None
    patterns: tuple[Pattern, ...] = ()
    window: int = WINDOW
    overlap: int = OVERLAP

    @classmethod
    def of(
        cls,
        stacked: xr.DataArray,
        noise_variance: float | Sequence[float] | None = None,
        periodic: Sequence[bool] | None = None,
        transforms: Sequence[str | None] | None = None,
        overlap: int | None = None,
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

        Raises:
            InputError: no such dimensions, two components of a name, or times that do not ascend or
                of which some are missing.
        """
        dims = dims_of(stacked)
        labels = numbers(stacked, "component")
        size = stacked.sizes["component"]
        step, time_units = regular_step(stacked, dims.time) or (None, "")
        axes = [axis_of(stacked, name) for name in dims.space]
        low, high, observed = _looked_at(stacked, 1 if size > MANY else size)
        variance = noise_variance
        if variance is not None:
            variance = _once(np.ravel(np.asarray(variance, float)).tolist())
            variance = variance[0] if len(variance) == 1 else variance
        return cls(
            components=_names(stacked) if labels is None and size <= NAMED else (),
            size=size,
            units=_once(units_of(stacked)),
            transforms=_once(transforms or [None]),
            time=dims.time,
            time_step=step,
            time_units=time_units,
            space=dims.space,
            spacing=tuple(axis.spacing for axis in axes),
            periodic=tuple(axis.circle for axis in axes) if periodic is None else tuple(periodic),
            low=_once(low),
            high=_once(high),
            noise_variance=variance,
            patterns=_once(observed.patterns()),
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
        dims = dims_of(stacked)
        if len(dims.space) != len(self.space):
            raise InputError(
                f"Received data with the dimensions {stacked.dims}; the model was trained on "
                f"{('window', self.time, *self.space, 'component')}: expected "
                f"{len(self.space)} dimensions of space."
            )
        self._check_time(stacked, dims.time)
        order = self._order(stacked)
        self._check_units(stacked, order)
        indices = {} if order is None else {"component": order}
        for name, trained in zip(dims.space, self.spacing, strict=True):
            if self._is_reversed(axis_of(stacked, name), trained):
                indices[name] = np.arange(stacked.sizes[name])[::-1]
        return indices

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
        doubts = self._doubts(arranged)
        if doubts:
            logger.warning(
                "The data do not tell %s: taken to be those of the model's training.",
                ", nor ".join(doubts),
            )
        if arranged.sizes["component"] != self.size or not self.patterns:
            return
        low, high, observed = _looked_at(arranged, len(self.patterns))
        far = self._far(low, high)
        if far:
            logger.warning(
                "The data have values far beyond those of the model's training: %s. Look at their "
                "units, and for undeclared fill values.",
                _first(far),
            )
        beyond = {
            self.name(number): "; ".join(found)
            for number, pattern in enumerate(self.patterns)
            if (found := observed.beyond(number, pattern))
        }
        if beyond:
            logger.warning(
                "The data are observed otherwise than in the model's training, which may put its "
                "states far off: %s. Score it on such windows whose truth is known, or train on "
                "such.",
                _first([f"{name}: {found}" for name, found in beyond.items()]),
            )

    def name(self, component: int) -> str:
        """The name of a component for a message.

        Args:
            component: its number.
        """
        if len(self.patterns) == 1 < self.size:
            return "the components"
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

    def _order(self, stacked):
        """Indices that put components into the model's order; None where they are in it."""
        labels = numbers(stacked, "component")
        if labels is not None and sorted(labels) == list(range(len(labels))):
            if self.components or len(labels) != self.size or labels == sorted(labels):
                return None
            return np.argsort(labels)
        names = _names(stacked)
        if not self.components:
            return None
        unknown = [name for name in names if name not in self.components]
        missing = [name for name in self.components if name not in names]
        if unknown or missing:
            remedies = [
                f"{_listed(of)} {what}"
                for of, what in (
                    (missing, "is missing: add it, NaN if not observed"),
                    (unknown, "is unknown: rename or drop it"),
                )
                if of
            ]
            raise InputError(
                f"Received {len(names)} components {_listed(names)}; expected {self.size} "
                f"components {_listed(self.components)}. {'; '.join(remedies)}."
            )
        order = np.array([names.index(name) for name in self.components])
        return None if (order == np.arange(len(order))).all() else order

    def _check_units(self, stacked, order):
        units = units_of(stacked)
        if len(units) != self.size:
            return
        ordered = units if order is None else [units[index] for index in order]
        for number, found in enumerate(ordered):
            trained = _each(self.units, number)
            if found and trained and not same_units(found, trained):
                raise InputError(
                    f"Received {self.name(number)} in {shown(found)}; expected it in "
                    f"{shown(trained)}. Convert it, and set its attribute `units`."
                )

    def _check_time(self, stacked, time):
        found = regular_step(stacked, time)
        if found is None or self.time_step is None:
            return
        (step, unit), (trained, known) = (
            _in_seconds(*each) for each in (found, (self.time_step, self.time_units))
        )
        if not (same_units(unit, known) and _is_close(step, trained)):
            raise InputError(
                f"Received data with a time step of {step:g} {unit}; the model was trained on one "
                f"of {trained:g} {known}. Interpolate or thin the data to that step, or train a "
                "model on theirs."
            )

    def _is_reversed(self, axis, trained):
        if axis.spacing is None:
            return axis.reversed and trained is None
        if trained is None:
            return False
        if not _is_close(abs(axis.spacing), abs(trained)):
            raise InputError(
                f"Received a grid with a spacing of {abs(axis.spacing):g} on {axis.name!r}; the "
                f"model was trained on {abs(trained):g}. Interpolate the data to that spacing, or "
                "train a model on theirs."
            )
        return (axis.spacing < 0) != (trained < 0)

    def _doubts(self, stacked):
        """What the data leave open though the training's is known."""
        dims = dims_of(stacked)
        doubts = []
        if self.components and self.size > 1 and numbers(stacked, "component") is not None:
            doubts.append(f"the names of their components ({_listed(self.components)})")
        if self.time_step is not None and regular_step(stacked, dims.time) is None:
            doubts.append(f"their time step ({self.time_step:g} {self.time_units})")
        unknown = [
            f"{self.name(number)} in {_each(self.units, number)}"
            for number, found in enumerate(units_of(stacked))
            if not found and not same_units(_each(self.units, number), "")
        ]
        if unknown:
            doubts.append(f"their units ({_first(unknown)})")
        for name, trained in zip(dims.space, self.spacing, strict=True):
            if trained is not None and axis_of(stacked, name).spacing is None:
                doubts.append(f"the spacing of {name!r} ({trained:g})")
        return doubts

    def _far(self, low, high):
        """Components whose values are far beyond the training's, with both."""
        found = []
        for number, (least, most) in enumerate(zip(low, high, strict=True)):
            known = _each(self.low, number), _each(self.high, number)
            if least is None or known[0] is None:
                continue
            reach = max(FAR * (known[1] - known[0]), TOLERANCE * max(map(abs, known)))
            if least < known[0] - reach or most > known[1] + reach:
                found.append(
                    f"{self.name(number)} {least:.4g} to {most:.4g}, in training "
                    f"{known[0]:.4g} to {known[1]:.4g}"
                )
        return found


def _looked_at(stacked, patterns):
    """Least and greatest values of as many components, or all together, and their patterns."""
    if "window" not in stacked.dims:
        stacked = stacked.expand_dims("window")
    low, high = np.full(patterns, np.inf), np.full(patterns, -np.inf)
    observed = Observed(patterns)
    for chunk in chunks(stacked.shape):
        values = stacked[chunk].values
        values = values.reshape(*values.shape[:2], -1, patterns)
        mask = np.isfinite(values)
        low = np.minimum(low, np.where(mask, values, np.inf).min(axis=(0, 1, 2)))
        high = np.maximum(high, np.where(mask, values, -np.inf).max(axis=(0, 1, 2)))
        observed.add(mask)
    ends = ([float(end) if np.isfinite(end) else None for end in each] for each in (low, high))
    return *ends, observed


def _names(stacked):
    names = [str(label) for label in stacked["component"].values]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < NAMED else []
    if twice:
        raise InputError(
            f"Received two components of the name {_listed(twice)}; expected a name for each."
        )
    return tuple(names)


def _once(values):
    """A tuple of one where all are the same, and of none too different to be told of each."""
    values = tuple(values)
    return values[:1] if len(set(values)) == 1 else values


def _each(values, number):
    return values[0] if len(values) == 1 else values[number]


def _in_seconds(step, unit):
    """Times of any known unit compare."""
    seconds = SECONDS.get(unit_name(unit.split(" since ")[0]))
    return (step, unit) if seconds is None else (step * seconds, "s")


def _is_close(one, other):
    return abs(one - other) <= TOLERANCE * abs(other)


def _listed(names):
    return ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")


def _first(findings):
    others = len(findings) - 1
    return findings[0] + (f" (and {others} others)" if others else "")
