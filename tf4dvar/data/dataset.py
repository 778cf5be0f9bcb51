"""Windows as xarray data sets and NetCDF files.

A data set has the dimensions `window, time, component`; `observations` (NaN = not observed),
and, where they are known, `truth` or a reconstructed `state`, all in physical units.
"""

import os
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from tf4dvar.data.checks import check_observations
from tf4dvar.data.files import atomic_path, check_output
from tf4dvar.data.plan import ObservationPlan
from tf4dvar.errors import InputError, first_line
from tf4dvar.systems import System, random_stream, sample_windows

DIMS = ("window", "time", "component")


def simulate_dataset(
    system: System,
    plan: ObservationPlan,
    windows: int,
    steps: int = 200,
    seed: int = 0,
    integrator: str = "rk4",
) -> xr.Dataset:
    """Simulated true states and their observations.

    Args:
        system: the dynamical system.
        plan: what is observed of it.
        windows, steps: number of windows, and of times in each.
        seed: the same seed gives the same data set bit for bit.
        integrator: "rk4" or "rk45", see `tf4dvar.systems.sample_windows`.
    """
    # The noise has a stream of its own: two plans see the same truth under one seed.
    truth = sample_windows(
        system, windows, steps, random_stream("data set truth", seed), integrator
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


def read_windows(path: str | Path, variable: str = "observations") -> xr.Dataset:
    """Read a NetCDF file of windows into memory and check it.

    Args:
        path: the file.
        variable: the variable it must have, `observations` or `state`.

    Raises:
        InputError: not there, not readable, or not a file of windows.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        complaint = _storage_complaint(path)
        if complaint:
            raise InputError(complaint)
        dataset = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5netcdf raises many kinds for a damaged file
        raise InputError(
            f"{path} cannot be read as NetCDF-4 ({first_line(error)}); "
            "it may be truncated: write it again."
        ) from error
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
    dataset = dataset.transpose(*DIMS, ..., missing_dims="ignore")
    check_observations(dataset[variable].values)
    return dataset


def _storage_complaint(path):
    """What in a file would hang its reader or fill the memory; None if nothing.

    HDF5 lets values lie in any other file or device, and be declared without being there.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with h5py.File(path) as file:

        def look(name, link):
            if not isinstance(link, h5py.HardLink):
                return f"{name} is a link"
            item = file[name]
            if isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    return f"the values of {name} are in another file"
                if item.size is not None and item.nbytes > memory:
                    return f"{name} of shape {item.shape} is larger than the memory"
            return None

        return file.visititems_links(look)


def number_of(dataset: xr.Dataset, attribute: str) -> float:
    """A number of at least 0 among the attributes of a data set, `noise_variance` say.

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
        **attributes: more attributes, `method` say.
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
    # The format has checksums of its metadata, but for texts of any length; not of values.
    dataset = dataset.copy()
    dataset.attrs = _of_fixed_length(dataset.attrs)
    for variable in dataset.variables.values():
        variable.attrs = _of_fixed_length(variable.attrs)
    checked = {
        name: {"fletcher32": True}
        for name, variable in dataset.variables.items()
        if variable.size and variable.ndim and np.issubdtype(variable.dtype, np.number)
    }
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=checked)


def _of_fixed_length(attributes):
    """Attributes with their texts of a fixed length, which ASCII alone can be."""
    return {
        name: np.array(value.encode())
        if isinstance(value, str) and value and value.isascii()
        else value
        for name, value in attributes.items()
    }
