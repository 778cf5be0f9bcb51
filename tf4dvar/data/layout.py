"""Which dimensions and variables of a data set a state is made of, and the way there and back."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from tf4dvar.data.arrays import as_dataset, float_of
from tf4dvar.data.conventions import VARIANCE, axes_of, is_measurement
from tf4dvar.data.covariates import COVARIATE, without
from tf4dvar.data.domain import domain_of, land_of
from tf4dvar.errors import InputError, shown

COMPONENT, WINDOW, UNITS = "component", "window", "units"
# Variables that hold all components: of several in a data set, the first.
TRUTH = "truth"
HELD = ("observations", "state", TRUTH)


@dataclass(frozen=True)
class Layout:
    """How the variables of a data set are stacked to states, [time, *space, component].

    Attributes:
        variables: names of the variables, or labels of the dimension `component`.
        time: the dimension of time.
        space: the dimensions of space, in the order y, x. One of size one is none of them.
        window: the dimension of windows, in a file of windows.
        held: the variable that has the dimension `component`, where one has.
    """

    variables: tuple[str, ...]
    time: str
    space: tuple[str, ...] = ()
    window: str | None = None
    held: str | None = None

    @classmethod
    def of(
        cls,
        dataset: xr.Dataset | xr.DataArray,
        dims: Mapping[str, str] | None = None,
        variables: Sequence[str] | None = None,
    ) -> "Layout":
        """The layout of a data set.

        Args:
            dataset: as `open_data` gives it.
            dims: names of dimensions by their axes, `time`, `y` and `x`, where attributes and
                usual names do not tell.
            variables: names of those wanted; by default `observations` beside their `truth` or of
                windows, else all measurements that have time and, of those, the most dimensions of
                space.

        Raises:
            InputError: there are none, or one has a dimension that is neither time nor space.
        """
        dataset = as_dataset(dataset)
        axes = axes_of(dataset, dims)
        beside = WINDOW in dataset.dims or TRUTH in dataset.data_vars
        if variables is None and beside and HELD[0] in dataset.data_vars:
            variables = HELD[:1]
        if variables is not None:
            _check_names(dataset, variables)
        held = _held(dataset, variables)
        names = [held] if held else variables or _measurements(dataset)
        found = {name: _axes_in(dataset[name], axes) for name in names}
        fitting = {name: place for name, place in found.items() if not isinstance(place, str)}
        if not fitting or (variables and len(fitting) < len(found)):
            raise InputError(_complaint(dataset, found))
        if variables is None:
            most = max(len(space) for _, space in fitting.values())
            fitting = {name: place for name, place in fitting.items() if len(place[1]) == most}
        if len(set(fitting.values())) > 1:
            places = {str(name): (time, *space) for name, (time, space) in fitting.items()}
            raise InputError(
                f"Received variables on different dimensions, {shown(places)}; expected the same "
                "for all. Name those that belong together: variables=[...]."
            )
        first = next(iter(fitting))
        window = WINDOW if WINDOW in dataset[first].dims else None
        labels = dataset[held][COMPONENT].values if held else fitting
        time, space = fitting[first]
        return cls(tuple(map(str, labels)), time, space, window, held)

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the stacked array, in its order."""
        return (*((self.window,) if self.window else ()), self.time, *self.space, COMPONENT)

    @property
    def axes(self) -> dict[str, str]:
        """Dimensions of time and of two of space by their axes, as `open_data` takes them."""
        return dict(zip(("time", "y", "x"), (self.time, *self.space), strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables in a data set."""
        return (self.held,) if self.held else self.variables

    def alone(self, dataset: xr.Dataset) -> xr.Dataset:
        """A data set with these variables alone, the form of their states.

        Args:
            dataset: of this layout, or of several realisations of it.
        """
        dataset = without(dataset)
        return dataset.drop_vars([name for name in dataset.data_vars if name not in self.names])

    def stack(self, dataset: xr.Dataset | xr.DataArray) -> xr.DataArray:
        """The variables as one array of floating-point numbers, lazily where they are.

        Args:
            dataset: of this layout.

        Returns:
            [(window,) time, *space, component], with the coordinates of the data set, the names
            as `component`, and along it `units`, "" where they are unknown. What is on land, see
            `land_of`, is NaN.
        """
        dataset = as_dataset(dataset)
        units = [str(dataset[name].attrs.get(UNITS, "")) for name in self.names]
        if self.held:
            units = units * len(self.variables)
            if dataset.coords.get(UNITS) is not None and dataset[UNITS].dims == (COMPONENT,):
                units = [str(unit) for unit in dataset[UNITS].values]
        return self._stacked(dataset).assign_coords({UNITS: (COMPONENT, units)})

    def noise_variance(self, dataset: xr.Dataset | xr.DataArray) -> xr.DataArray | None:
        """The variances of the observations' noise, stacked as they are; None if none is told.

        Args:
            dataset: of this layout. Those of NAME are its variable `NAME_noise_variance`, in units
                squared.

        Returns:
            As `stack`, NaN for a component of which none is told.
        """
        dataset = as_dataset(dataset)
        told = {name: dataset.get(f"{name}{VARIANCE}") for name in self.names}
        if all(variance is None for variance in told.values()):
            return None
        variances = {
            name: dataset[name].variable * np.nan if variance is None else variance.variable
            for name, variance in told.items()
        }
        return self._stacked(dataset.assign(variances))

    def unstack(self, states: xr.DataArray, like: xr.Dataset | xr.DataArray) -> xr.Dataset:
        """The inverse of `stack`, in the form of the data set that was stacked.

        Args:
            states: as `stack` gives them; where they have labels of components, in any order.
            like: whose dimensions in their order, coordinates, attributes and encoding they get.
                What lies outside its domain, see `domain_of`, is NaN.
        """
        like = as_dataset(like)
        names = self.names
        if COMPONENT in states.coords:
            states = states.sel({COMPONENT: list(self.variables)})
        elif states.sizes[COMPONENT] != len(self.variables):
            raise InputError(
                f"Received states of {states.sizes[COMPONENT]} components; expected the "
                f"{len(self.variables)} of {shown(self.variables)}."
            )
        parts = [states] if self.held else [states.isel({COMPONENT: i}) for i in range(len(names))]
        domain = domain_of(like, self.time, self.space)
        result = self.alone(like)
        for name, part in zip(names, parts, strict=True):
            target = like[name]
            values = _reshaped(part.variable, target)
            if domain is not None:
                values = values.where(domain.variable).transpose(*target.dims)
            values = values.astype(float_of(target.dtype))
            result[name] = target.variable.copy(data=values.data)
        return result

    def _stacked(self, dataset):
        levels = set().union(*(dataset[name].dims for name in self.names)) - set(self.dims)
        within = self.dims if self.held else self.dims[:-1]
        arrays = [
            dataset[name].variable.isel({d: 0 for d in levels if d in dataset[name].dims})
            for name in self.names
        ]
        arrays = [each.astype(float_of(each.dtype)).transpose(*within) for each in arrays]
        values = arrays[0] if self.held else xr.Variable.concat(arrays, COMPONENT)
        land = land_of(dataset, self.time, self.space)
        if land is not None:
            values = values.where(~land.variable).transpose(*values.dims)
        # A series may come from a file of windows, and say which of them it is.
        taken = {UNITS, COMPONENT, WINDOW} - {self.window}
        coordinates = {
            name: coordinate.variable
            for name, coordinate in dataset.coords.items()
            if set(coordinate.dims) <= set(within) - {COMPONENT} and name not in taken
        }
        stacked = xr.DataArray(xr.Variable(values.dims, values.data), coordinates)
        labels = {COMPONENT: list(self.variables)}
        return stacked.assign_coords(labels).transpose(*self.dims)


def _check_names(dataset, variables):
    if isinstance(variables, str):
        raise InputError(f"Received variables={variables!r}; expected a list: [{variables!r}].")
    unknown = [name for name in variables if name not in dataset.data_vars]
    if unknown or not variables:
        raise InputError(
            f"Received the variables {shown(list(variables))}; expected some of "
            f"{sorted(map(str, dataset.data_vars))}."
        )
    for name in variables:
        if dataset[name].dtype.kind not in "fiu":
            raise InputError(
                f"{name!r} has the type {dataset[name].dtype}; expected numbers. Leave it out."
            )


def _held(dataset, variables):
    """The variable that has the dimension `component`, if it is to be worked on."""
    of_components = [
        name
        for name in (variables or (*HELD, *dataset.data_vars))
        if name in dataset and COMPONENT in dataset[name].dims
    ]
    if variables and of_components and len(variables) > 1:
        raise InputError(
            f"Received the variables {shown(list(variables))}; expected one alone of those that "
            f"have the dimension {COMPONENT!r}."
        )
    return of_components[0] if of_components else None


def _measurements(dataset):
    told = " ".join(
        str(variable.attrs.get("ancillary_variables", ""))
        for variable in dataset.data_vars.values()
    )
    return [
        name
        for name, variable in dataset.data_vars.items()
        if is_measurement(variable)
        and not str(name).endswith(VARIANCE)
        and COVARIATE not in variable.dims
        and name not in told.split()
    ]


def _axes_in(
    variable: xr.DataArray, axes: Mapping[Hashable, str]
) -> tuple[str, tuple[str, ...]] | str:
    """The dimension of time and those of space of a variable, or what is wrong with them."""
    if variable.dtype.kind not in "fiu":
        return f"{str(variable.name)!r} has the type {variable.dtype}; expected numbers."
    of = {
        axis: [
            d
            for d in variable.dims
            if axes.get(d) == axis and (axis == "time" or variable.sizes[d] > 1)
        ]
        for axis in ("time", "y", "x")
    }
    placed = {dim for found in of.values() for dim in found} | {WINDOW, COMPONENT}
    others = [d for d in variable.dims if d not in placed and variable.sizes[d] > 1]
    if not variable.size:
        return f"{str(variable.name)!r} has the dimensions {dict(variable.sizes)}: it has no value."
    if not of["time"]:
        return (
            f"{str(variable.name)!r} has the dimensions {variable.dims}, none of which is time; "
            'expected one with dates as its coordinate. Name it: dims={"time": ...}; if the dates '
            "are another coordinate, make them the dimension's: dataset.swap_dims(...)."
        )
    if others or any(len(found) > 1 for found in of.values()):
        odd = others or next(found for found in of.values() if len(found) > 1)
        return (
            f"{str(variable.name)!r} has the dimensions {dict(variable.sizes)}; {odd[0]!r} is "
            "neither time nor space, or one too many. Select one level, dataset.isel("
            f'{odd[0]}=0), or name the dimensions: dims={{"y": ..., "x": ...}}.'
        )
    return str(of["time"][0]), (*map(str, of["y"]), *map(str, of["x"]))


def _complaint(dataset, found):
    """Of the variable with the most dimensions, which the user will have meant."""
    complaints = {name: place for name, place in found.items() if isinstance(place, str)}
    if complaints:
        return complaints[max(complaints, key=lambda name: dataset[name].ndim)]
    return (
        f"Received the variables {sorted(map(str, dataset.variables))}; expected measurements "
        "over time. Name those to take: variables=[...]."
    )


def _reshaped(values, target):
    """Stacked values with the dimensions of a variable, its levels of size one among them."""
    levels = {dim: 1 for dim in target.dims if dim not in values.dims}
    shaped = values.set_dims({**levels, **values.sizes}).transpose(*target.dims)
    if shaped.shape != target.shape:
        raise InputError(
            f"Received states of {dict(shaped.sizes)} for {str(target.name)!r} of "
            f"{dict(target.sizes)}; expected the same."
        )
    return shaped
