"""Windows as xarray data sets and NetCDF files.

A data set has the dimensions `window, time, component`, of fields `window, time, y, x, component`;
`observations` (NaN = not observed), and, where they are known, `truth` or a reconstructed `state`,
all in physical units. What forces the dynamics and is known are its `covariates`, `window, time,
covariate`.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr

from tf4dvar.data import covariates
from tf4dvar.data.checks import check_observations
from tf4dvar.data.conventions import axes_of
from tf4dvar.data.multi_index import with_multi_indexes, without_multi_indexes
from tf4dvar.data.stores import open_store, readable, text_of, with_attributes
from tf4dvar.errors import InputError
from tf4dvar.storage.files import atomic_path, check_output
from tf4dvar.systems import System, random_stream, sample_windows, windows_from
from tf4dvar.systems.drawn_plan import Plan

DIMS = ("window", "time", "component")


def simulate_dataset(
    system: System,
    plan: Plan,
    windows: int,
    steps: int = 200,
    seed: int = 0,
    integrator: str = "rk4",
    simulate: Callable[[System, np.ndarray, int, str], np.ndarray] = windows_from,
) -> xr.Dataset:
    """Simulated true states and their observations.

    Args:
        system: the dynamical system.
        plan: what is observed of it. Of one that draws the noise, too, `noise_variance` is a
            variable, else an attribute.
        windows, steps: number of windows, and of times in each.
        seed: the same seed gives the same data set bit for bit.
        integrator, simulate: see `tf4dvar.systems.sample_windows`.
    """
    # The noise has a stream of its own: two plans see the same truth under one seed.
    truth = sample_windows(
        system, windows, steps, random_stream("data set truth", seed), integrator, simulate
    )
    inputs = plan.inputs(truth, random_stream("data set noise", seed))
    of_entries = isinstance(inputs, dict)
    observations = inputs["observations"] if of_entries else inputs
    same_units = isinstance(system.units, str)
    units = {"units": system.units} if same_units else {}
    dataset = xr.Dataset(
        {
            "truth": (DIMS, truth, {"long_name": "true state", **units}),
            "observations": (
                DIMS,
                observations,
                {"long_name": "observations, NaN = not observed", **units},
            ),
        },
        coords={
            "window": np.arange(windows),
            "time": (
                "time",
                system.time_step * np.arange(steps),
                {"long_name": "time", "units": system.time_units},
            ),
            "component": list(system.components),
        },
        attrs={
            "system": system.name,
            "time_step": system.time_step,
            **({} if of_entries else {"noise_variance": plan.largest_noise}),
            "plan": plan.to_json(),
            "seed": seed,
            "integrator": integrator,
        },
    )
    if of_entries:
        told = {"long_name": "variance of the observations' errors"}
        dataset["noise_variance"] = (DIMS, inputs["noise_variance"], told)
    if system.covariates:
        known = system.covariates_at(dataset["time"].values)
        dataset["covariates"] = (
            covariates.DIMS,
            np.broadcast_to(known, (windows, *known.shape)),
            {"long_name": "known in time"},
        )
        dataset = dataset.assign_coords(covariate=list(system.covariates))
    if not same_units:
        dataset = dataset.assign_coords(units=("component", list(system.units)))
    return dataset


@contextmanager
def open_windows(
    path: str | Path, variable: str = "observations", in_memory: bool = False
) -> Iterator[xr.Dataset]:
    """A file of windows, NetCDF or zarr, whose arrays are read when they are asked for.

    Args:
        path: the file, or the store.
        variable: the variable it must have, `observations` or `state`.
        in_memory: whether a file that is larger than the memory is refused.

    Yields:
        The data set, its dimensions in the order `window, time, *space, component`.

    Raises:
        InputError: not there, not readable, or not a file of windows.
    """
    opened = with_multi_indexes(open_store(path, in_memory, lazily=False))
    with opened as dataset:
        if variable not in dataset:
            raise InputError(
                f"{path} has the variables {sorted(map(str, dataset.data_vars))}; "
                f"expected {variable!r} with the dimensions {DIMS}."
            )
        expected = _with_space(dataset[variable])
        for name in {variable, "truth"} & set(dataset.data_vars):
            dims, dtype = dataset[name].dims, dataset[name].dtype
            fits = sorted(map(str, dims)) == sorted(expected)
            if not fits or not np.issubdtype(dtype, np.floating):
                raise InputError(
                    f"{name!r} of {path} has the dimensions {dims} and the type {dtype}; "
                    f"expected {expected} and floating-point numbers."
                )
        yield dataset.transpose(*expected, ..., missing_dims="ignore")


def _with_space(variable: xr.DataArray) -> tuple[str, ...]:
    """The dimensions that windows ought to have; two that they have besides are y and x."""
    space = [str(dim) for dim in variable.dims if dim not in DIMS]
    if len(space) != 2:
        return DIMS
    axes = axes_of(variable.to_dataset(name="observations"))
    # Where neither tells, as they stand.
    space.sort(key=lambda dim: axes.get(dim) == "x")
    return (*DIMS[:2], *space, DIMS[2])


def read_windows(path: str | Path, variable: str = "observations") -> xr.Dataset:
    """As `open_windows`, all in memory and its numbers checked.

    Args:
        path: the file.
        variable: the variable it must have, `observations` or `state`.
    """
    with open_windows(path, variable, in_memory=True) as dataset:
        with readable(Path(path)):
            dataset.load()
        values = dataset[variable].values
        check_observations(values, rank=values.ndim)
        return dataset


def number_of(dataset: xr.Dataset, attribute: str, otherwise: str | None = None) -> float:
    """A number of at least 0 among the attributes of a data set, as `noise_variance`.

    Args:
        dataset: the data set.
        attribute: its name.
        otherwise: how else it may be given, for the message.

    Raises:
        InputError: there is none, or it is something else.
    """
    value = dataset.attrs.get(attribute)
    if isinstance(value, int | float | np.number) and 0 <= value < np.inf:
        return float(value)
    raise InputError(
        f"The data set has the attribute {attribute} = {value!r}; expected a number of at least 0. "
        f"Set it: dataset.attrs[{attribute!r}] = ...{f', or give {otherwise}' if otherwise else ''}"
    )


def states_dataset(
    source: xr.Dataset,
    state: np.ndarray,
    state_std: np.ndarray | None = None,
    suspect: np.ndarray | None = None,
    **attributes: object,
) -> xr.Dataset:
    """Reconstructed states with the dimensions, coordinates and attributes of their source.

    Where an observation operator makes the state's components others than the observed ones,
    they are numbered.

    Args:
        source: the data set with the `observations`.
        state: [window, time, *space, component], physical units.
        state_std: standard deviation of its error, of the same shape.
        suspect: whether it does not fit the observations, [window].
        **attributes: more attributes, for example `method`.
    """
    observations = source["observations"]
    if state.shape == observations.shape:
        states = observations.copy(data=state).rename("state")
    else:
        places = [name for name in observations.dims[:-1] if name in observations.coords]
        coordinates = {name: observations.coords[name] for name in places}
        states = xr.DataArray(state, coordinates, observations.dims, "state").assign_coords(
            component=np.arange(state.shape[-1])
        )
    states.attrs = {**states.attrs, "long_name": "reconstructed state"}
    named = states.to_dataset()
    if state_std is not None:
        named["state_std"] = states.copy(data=state_std)
        named["state_std"].attrs["long_name"] = "standard deviation of the state's error"
    if suspect is not None:
        told = {"long_name": "whether the state does not fit the observations: 1, it does not"}
        named["suspect"] = ("window", suspect.astype(np.int8), told)
    return named.assign_attrs({**source.attrs, **attributes})


def write_dataset(dataset: xr.Dataset, path: str | Path, force: bool = False) -> None:
    """Write a data set as NetCDF-4; an interrupted write leaves no file behind.

    Args:
        dataset: what to write.
        path: the file.
        force: overwrite a file that exists.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    check_output(path, force)
    with atomic_path(path) as temporary:
        write_netcdf(dataset, temporary)


def write_netcdf(dataset: xr.Dataset, path: Path, keep: Collection[str] = ()) -> None:
    """Write a data set as NetCDF-4, in place, so that damage is noticed when it is read.

    Args:
        dataset: what to write.
        path: the file.
        keep: what of the encoding of numbers is kept.

    Raises:
        InputError: the format cannot hold it.
    """
    with writable():
        dataset, encoding = _with_checksums(dataset, keep)
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)


@contextmanager
def writable() -> Iterator[None]:
    """Turn what xarray raises of data sets that NetCDF cannot hold into an `InputError`."""
    try:
        yield
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"The data set cannot be written as NetCDF: {error}") from error


def _with_checksums(dataset, keep):
    """A data set and its encoding, so that damage is noticed."""
    # The format has checksums of its metadata, but for texts of any length; not of values.
    dataset = with_attributes(without_multi_indexes(dataset), of_fixed_length)
    encoding = {
        name: {key: variable.encoding[key] for key in keep if key in variable.encoding}
        | {"fletcher32": True}
        for name, variable in dataset.variables.items()
        if variable.size and variable.ndim and np.issubdtype(variable.dtype, np.number)
    }
    return dataset, encoding


def of_fixed_length(value):
    """An attribute's text of a fixed length, which ASCII alone can be: the file has its checksum.

    Args:
        value: the attribute, of any type.
    """
    value = text_of(value)
    return (
        np.bytes_(value.encode()) if isinstance(value, str) and value and value.isascii() else value
    )
