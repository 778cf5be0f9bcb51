"""Windows as xarray data sets and NetCDF files.

A data set has the dimensions `window, time, component`; `observations` (NaN = not observed),
and, where they are known, `truth` or a reconstructed `state`, all in physical units.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import psutil
import xarray as xr

from tf4dvar.data.checks import check_observations
from tf4dvar.errors import InputError, first_line
from tf4dvar.storage.files import atomic_path, check_output
from tf4dvar.systems import System, random_stream, sample_windows, windows_from
from tf4dvar.systems.observation_plan import ObservationPlan

DIMS = ("window", "time", "component")


def simulate_dataset(
    system: System,
    plan: ObservationPlan,
    windows: int,
    steps: int = 200,
    seed: int = 0,
    integrator: str = "rk4",
    simulate: Callable[[System, np.ndarray, int, str], np.ndarray] = windows_from,
) -> xr.Dataset:
    """Simulated true states and their observations.

    Args:
        system: the dynamical system.
        plan: what is observed of it.
        windows, steps: number of windows, and of times in each.
        seed: the same seed gives the same data set bit for bit.
        integrator, simulate: see `tf4dvar.systems.sample_windows`.
    """
    # The noise has a stream of its own: two plans see the same truth under one seed.
    truth = sample_windows(
        system, windows, steps, random_stream("data set truth", seed), integrator, simulate
    )
    observations = plan.observe(truth, random_stream("data set noise", seed))
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
            "noise_variance": plan.noise_variance,
            "plan": plan.to_json(),
            "seed": seed,
            "integrator": integrator,
        },
    )
    if not same_units:
        dataset = dataset.assign_coords(units=("component", list(system.units)))
    return dataset


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever reading a file raises into an `InputError` that names it.

    Args:
        path: the file.
    """
    try:
        yield
    except Exception as error:  # h5netcdf raises many kinds for a damaged file
        raise InputError(
            f"{path} cannot be read as NetCDF-4 ({first_line(error)}); "
            "it may be truncated: write it again."
        ) from error


@contextmanager
def open_windows(
    path: str | Path, variable: str = "observations", in_memory: bool = False
) -> Iterator[xr.Dataset]:
    """A NetCDF file of windows, whose arrays are read when they are asked for.

    Args:
        path: the file.
        variable: the variable it must have, `observations` or `state`.
        in_memory: whether a file that is larger than the memory is refused.

    Yields:
        The data set, its dimensions in the order `window, time, component`.

    Raises:
        InputError: not there, not readable, or not a file of windows.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    with readable(path):
        complaint = _storage_complaint(path, in_memory)
        if complaint:
            raise InputError(complaint)
        opened = xr.open_dataset(path, engine="h5netcdf")
    with opened as dataset:
        if variable not in dataset:
            raise InputError(
                f"{path} has the variables {sorted(map(str, dataset.data_vars))}; "
                f"expected {variable!r} with the dimensions {DIMS}."
            )
        for name in {variable, "truth"} & set(dataset.data_vars):
            dims, dtype = dataset[name].dims, dataset[name].dtype
            if sorted(map(str, dims)) != sorted(DIMS) or not np.issubdtype(dtype, np.floating):
                raise InputError(
                    f"{name!r} of {path} has the dimensions {dims} and the type {dtype}; "
                    f"expected {DIMS} and floating-point numbers."
                )
        yield _with_attributes(dataset, _text).transpose(*DIMS, ..., missing_dims="ignore")


def read_windows(path: str | Path, variable: str = "observations") -> xr.Dataset:
    """As `open_windows`, all in memory and its numbers checked.

    Args:
        path: the file.
        variable: the variable it must have, `observations` or `state`.
    """
    with open_windows(path, variable, in_memory=True) as dataset:
        with readable(Path(path)):
            dataset.load()
        check_observations(dataset[variable].values)
        return dataset


def _storage_complaint(path, in_memory):
    """What in a file would hang its reader or fill the memory; None if nothing.

    HDF5 lets values lie in any other file or device, and be declared without being there.
    """
    most = psutil.virtual_memory().total if in_memory else np.inf
    # Groups inside are not looked into: nothing of them is read.
    with h5py.File(path) as file:
        for name in file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                return f"{name} is a link"
            item = file[name]
            if isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    return f"the values of {name} are in another file"
                if item.size is not None and item.nbytes > most:
                    return f"{name} of shape {item.shape} is larger than the memory"
    return None


def number_of(dataset: xr.Dataset, attribute: str) -> float:
    """A number of at least 0 among the attributes of a data set, as `noise_variance`.

    Args:
        dataset: the data set.
        attribute: its name.

    Raises:
        InputError: there is none, or it is something else.
    """
    value = dataset.attrs.get(attribute)
    if isinstance(value, int | float | np.number) and 0 <= value < np.inf:
        return float(value)
    raise InputError(
        f"The data set has the attribute {attribute} = {value!r}; expected a number of at least 0. "
        f"Set it: dataset.attrs[{attribute!r}] = ..."
    )


def states_dataset(source: xr.Dataset, state: np.ndarray, **attributes: object) -> xr.Dataset:
    """Reconstructed states with the dimensions, coordinates and attributes of their source.

    Where an observation operator makes the state's components others than the observed ones,
    they are numbered.

    Args:
        source: the data set with the `observations`.
        state: [window, time, component], physical units.
        **attributes: more attributes, for example `method`.
    """
    observations = source["observations"]
    if state.shape == observations.shape:
        states = observations.copy(data=state).rename("state")
    else:
        coordinates = {name: observations.coords[name] for name in DIMS[:2]}
        states = xr.DataArray(state, coordinates, DIMS, "state").assign_coords(
            component=np.arange(state.shape[-1])
        )
    states.attrs = {**states.attrs, "long_name": "reconstructed state"}
    return states.to_dataset().assign_attrs({**source.attrs, **attributes})


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
        _write(dataset, temporary)


def _write(dataset: xr.Dataset, path: Path) -> None:
    try:
        dataset, encoding = _with_checksums(dataset)
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"The data set cannot be written as NetCDF: {error}") from error


def _with_checksums(dataset):
    """A data set and its encoding, so that damage is noticed."""
    # The format has checksums of its metadata, but for texts of any length; not of values.
    dataset = _with_attributes(dataset, _of_fixed_length)
    encoding = {
        name: {"fletcher32": True}
        for name, variable in dataset.variables.items()
        if variable.size and variable.ndim and np.issubdtype(variable.dtype, np.number)
    }
    return dataset, encoding


def _with_attributes(dataset, change):
    """A data set in which something is done to all names and values of attributes."""
    dataset = dataset.copy()
    for holder in (dataset, *dataset.variables.values()):
        holder.attrs = {_text(name): change(value) for name, value in holder.attrs.items()}
    return dataset


def _text(value):
    """A text as it was meant; what is none as it is.

    Bytes that are not UTF-8, as h5py hands them on, are Latin-1 in files of other programs: °C.
    """
    if isinstance(value, list):
        return [_text(each) for each in value]
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _of_fixed_length(value):
    """An attribute's text of a fixed length, which ASCII alone can be."""
    value = _text(value)
    return (
        np.array(value.encode()) if isinstance(value, str) and value and value.isascii() else value
    )


def write_states(
    source: xr.Dataset, pieces: Iterable[np.ndarray], path: str | Path, **attributes: object
) -> None:
    """Write the `states_dataset` of a source piece by piece, so that memory holds one of them.

    Args:
        source: the data set with the `observations`; they are not read.
        pieces: states of some windows after others, [window, time, component], all of one type.
        path: the file; one that exists is overwritten.
        **attributes: more attributes, for example `method`.
    """
    pieces = iter(pieces)
    first = next(pieces)
    shape = (source.sizes["window"], *first.shape[1:])
    # One number in the place of all: what is left of it are the coordinates and the attributes.
    frame = states_dataset(source, np.broadcast_to(first[0, 0, 0], shape), **attributes)
    with atomic_path(path) as temporary:
        _write(frame.drop_vars("state"), temporary)
        with h5netcdf.File(temporary, "a") as file:
            for name, size in zip(DIMS, shape, strict=True):
                if name not in file.dimensions:
                    file.dimensions[name] = size
            state = file.create_variable(
                "state", DIMS, first.dtype, fillvalue=np.nan, fletcher32=True
            )
            described = {name: _of_fixed_length(of) for name, of in frame["state"].attrs.items()}
            state.attrs.update(described)
            start = 0
            for piece in chain([first], pieces):
                state[start : start + len(piece)] = piece
                start += len(piece)
