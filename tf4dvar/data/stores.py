"""What xarray opens: NetCDF and zarr, looked at before anything of it is read."""

import glob
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tf4dvar.data.arrays import as_dataset
from tf4dvar.data.storage_checks import ZARR, complaint_of_hdf5, complaint_of_zarr
from tf4dvar.errors import InputError, first_line, shown
from tf4dvar.storage.files import open_regular

ENGINES = {"NetCDF-4": "h5netcdf", "NetCDF-3": "scipy", "zarr": "zarr"}
Source = str | os.PathLike | Sequence[str | os.PathLike] | xr.Dataset | xr.DataArray
"""What `open_data` takes."""


def installed(package: str) -> bool:
    """Whether an optional package is there.

    Args:
        package: its name.
    """
    return find_spec(package) is not None


@contextmanager
def readable(path: str | Path, kind: str = "NetCDF-4") -> Iterator[None]:
    """Turn whatever reading a file raises into an `InputError` that names it.

    Args:
        path: the file.
        kind: what it is read as.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of many kinds, for a damaged file
        raise InputError(
            f"{path} cannot be read as {kind} ({first_line(error)}); "
            "it may be truncated: write it again."
        ) from error


def open_source(source: Source) -> xr.Dataset:
    """A data set of whatever xarray opens, decoded by the CF conventions.

    Args:
        source: a NetCDF file, a zarr store, a glob or a list of them, which are put together by
            their coordinates; or a data set or an array of xarray.
    """
    if isinstance(source, xr.DataArray):
        source = as_dataset(source)
    if isinstance(source, xr.Dataset):
        raw = any(_is_raw(variable) for variable in source.variables.values())
        return decoded(source) if raw else source.copy()
    if isinstance(source, str | os.PathLike):
        paths = _expanded(os.fspath(source))
    elif isinstance(source, Sequence) and all(isinstance(p, str | os.PathLike) for p in source):
        paths = [path for each in source for path in _expanded(os.fspath(each))]
    else:
        paths = []
    if not paths:
        raise InputError(
            f"Received {shown(source)} as data; expected a path, a glob or a list of them, of "
            "NetCDF files or zarr stores, or a data set of xarray."
        )
    datasets = [open_store(path) for path in paths]
    return datasets[0] if len(datasets) == 1 else _combined(datasets, paths)


def open_store(path: str | os.PathLike, in_memory: bool = False, lazily: bool = True) -> xr.Dataset:
    """A NetCDF file or a zarr store, decoded by the CF conventions; values are read when asked for.

    Args:
        path: it.
        in_memory: whether what is larger than the memory is refused.
        lazily: whether values are dask's arrays, where dask is installed.

    Raises:
        InputError: not there, not readable, or values that are elsewhere or nowhere.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind == "zarr" and not installed("zarr"):
        raise _missing("zarr", f"{path} is a zarr store")
    lazily = lazily and installed("dask")
    with readable(path, kind):
        if kind != "NetCDF-3":  # whose values can but be in the file
            look = complaint_of_zarr if kind == "zarr" else complaint_of_hdf5
            complaint = look(path, in_memory or not lazily)
            if complaint:
                raise InputError(f"{path} is not read: {complaint}.")
        options: Any = {"consolidated": False} if kind == "zarr" else {}
        dataset = xr.open_dataset(
            path,
            engine=ENGINES[kind],
            decode_cf=False,
            chunks="auto" if lazily else None,
            **options,
        )
        return decoded(dataset, path)


def decoded(dataset: xr.Dataset, source: object = "the data set") -> xr.Dataset:
    """A data set with its packing, fill values and times decoded by the CF conventions.

    Args:
        dataset: it, as it is stored.
        source: its name for messages.
    """
    dataset = with_attributes(dataset, text_of)
    for name, variable in dataset.variables.items():
        calendar = str(variable.attrs.get("calendar", "standard")).lower()
        usual = calendar in ("standard", "gregorian", "proleptic_gregorian")
        if not usual and not installed("cftime"):
            raise _missing("cftime", f"{str(name)!r} of {source} has the calendar {calendar}")
        for attribute in ("scale_factor", "add_offset"):
            value = variable.attrs.get(attribute, 1)
            number = np.ravel(value)
            if number.dtype.kind not in "fiu" or number.size != 1 or not np.isfinite(number[0]):
                raise InputError(
                    f"{str(name)!r} of {source} has {attribute} = {shown(value)}; expected a "
                    "number. Mend the attribute."
                )
    with warnings.catch_warnings():
        # Of related variables that are not there, and of dates that NumPy has none for.
        warnings.simplefilter("ignore")
        return xr.decode_cf(dataset, decode_coords="all", decode_timedelta=False)


def kind_of(path: Path) -> str:
    """As what a path is read, a key of `ENGINES`.

    Args:
        path: a file or a folder.

    Raises:
        InputError: it is not there, or nothing that is read.
    """
    if path.is_dir():
        if any((path / name).is_file() for name in ZARR):
            return "zarr"
        raise InputError(
            f"{path} is a folder and no zarr store; expected one file or several, as a glob: "
            f"{path / '*.nc'}."
        )
    if not path.exists():
        raise InputError(f"There is no file {path}.")
    with open_regular(path) as file:
        start = file.read(4)
    if start[:3] == b"CDF":
        if start[3:] in (b"\x01", b"\x02"):
            return "NetCDF-3"
        raise InputError(
            f"{path} is of the format CDF-5; expected NetCDF-4, which nccopy -k nc4 makes of it."
        )
    # HDF5 need not begin at the beginning: whatever else is no file of its, h5netcdf says.
    return "NetCDF-4"


def with_attributes(dataset: xr.Dataset, change: Callable[[Any], Any]) -> xr.Dataset:
    """A data set in which something is done to all values of attributes.

    Args:
        dataset: it.
        change: of each value; the names become texts by `text_of`.
    """
    dataset = dataset.copy()
    holders: list[Any] = [dataset, *dataset.variables.values()]
    for holder in holders:
        holder.attrs = {text_of(name): change(value) for name, value in holder.attrs.items()}
    return dataset


def text_of(value: Any) -> Any:
    """A text as it was meant; what is none as it is.

    Bytes that are not UTF-8, as h5py hands them on, are Latin-1 in files of other programs: °C.

    Args:
        value: of an attribute.
    """
    if isinstance(value, list):
        return [text_of(each) for each in value]
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _is_raw(variable):
    """Whether a variable is still as it was stored."""
    packing = {"scale_factor", "add_offset", "_FillValue", "missing_value"} & set(variable.attrs)
    dates = variable.dtype.kind in "fiu" and " since " in str(variable.attrs.get("units", ""))
    return bool(packing) or dates


def _expanded(path):
    if "://" in path:
        raise InputError(f"Received {shown(path)}; expected files on this machine: download it.")
    if os.path.exists(path) or not glob.has_magic(path):
        return [path]
    found = sorted(glob.glob(path))
    if not found:
        raise InputError(f"No file fits {shown(path)}; expected at least one.")
    return found


def _combined(datasets, paths):
    try:
        return xr.combine_by_coords(
            datasets,
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
    except (ValueError, TypeError) as error:
        raise InputError(
            f"The {len(paths)} files {paths[0]} to {paths[-1]} cannot be put together by their "
            f"coordinates ({first_line(error)}); expected parts of one data set, each time once."
        ) from error


def _missing(package, what):
    return InputError(f"{what}; the package {package} reads it: pip install tf4dvar[data].")
