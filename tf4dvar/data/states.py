"""Reconstructed states in the order of the windows that they are of."""

from pathlib import Path

import numpy as np
import xarray as xr

from tf4dvar.data.dataset import read_windows
from tf4dvar.errors import InputError


def read_states(path: str | Path, source: xr.Dataset) -> np.ndarray:
    """The states in a file, [window, time, component], float64, in the order of their windows.

    Args:
        path: the file.
        source: the windows.

    Raises:
        InputError: as `read_windows`; or they are states of other windows.
    """
    return _in_order(path, read_windows(path, "state")["state"], source["observations"])


def read_errors(path: str | Path, source: xr.Dataset) -> np.ndarray | None:
    """The standard deviations of the errors of the states in a file, as `read_states`.

    Args:
        path, source: as there.

    Returns:
        None where the file has no `state_std`.
    """
    found = read_windows(path, "state")
    if "state_std" not in found:
        return None
    return _in_order(path, found["state_std"], source["observations"])


def _in_order(path, states, observations):
    states = states.astype("float64")
    if states.shape != observations.shape:
        raise InputError(
            f"{path} has states of shape {states.shape}; the data has windows of shape "
            f"{observations.shape}."
        )
    names, wanted = (
        list(map(str, each["component"].values)) if "component" in each.coords else None
        for each in (states, observations)
    )
    if names is None or wanted is None or names == wanted:
        return states.values
    if sorted(names) != sorted(wanted):
        raise InputError(
            f"{path} has states of the components {', '.join(names)}; the data has "
            f"{', '.join(wanted)}."
        )
    return states.isel(component=[names.index(name) for name in wanted]).values


def like(states: xr.Dataset, source: xr.Dataset) -> xr.Dataset:
    """States with their components in the order of their windows.

    Args:
        states: of `states_dataset`.
        source: the windows, with the same labels.
    """
    if "component" not in source.coords:
        return states
    return states.sel(component=source["component"].values)
