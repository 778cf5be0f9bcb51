"""States written slab by slab, in the form of the data set that they are of."""

import logging
from collections.abc import Iterable, Mapping
from itertools import chain
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr

from tf4dvar.data.dataset import of_fixed_length, states_dataset, writable, write_netcdf
from tf4dvar.data.multi_index import without_multi_indexes
from tf4dvar.data.packing import Packing, with_one_fill_value
from tf4dvar.errors import InputError
from tf4dvar.storage.files import atomic_path

logger = logging.getLogger(__name__)

# What of an encoding says how a variable is compressed.
COMPRESSION = ("zlib", "complevel", "shuffle")

UNLIMITED = "unlimited_dims"

# Numbers in a chunk of a file: whoever reads one of them reads all.
CHUNK = 2**20


def write_states(
    source: xr.Dataset,
    pieces: Iterable[Mapping[str, np.ndarray]],
    path: str | Path,
    **attributes: Any,
) -> None:
    """Write the `states_dataset` of a source piece by piece, so that memory holds one of them.

    Args:
        source: the data set with the `observations`; they are not read.
        pieces: what `states_dataset` takes of some windows after others, in all the same, each
            of one type.
        path: the file; one that exists is overwritten.
        **attributes: more attributes, for example `method`.
    """
    pieces = iter(pieces)
    first = next(pieces)
    # One window in the place of all: what is left of it are the coordinates and the attributes.
    windows = source.sizes["window"]
    whole: dict[str, Any] = {
        name: np.broadcast_to(of[:1], (windows, *of.shape[1:])) for name, of in first.items()
    }
    frame = states_dataset(source, **whole, **attributes)
    for name in {"state", "state_std"} & set(first):
        frame[name].encoding = {"_FillValue": np.nan}
    if "suspect" in first:
        frame["suspect"].encoding = {"dtype": frame["suspect"].dtype}
    forms = {name: (frame[name].dims, frame[name].dtype) for name in first}

    def slab(piece):
        return xr.Dataset(
            {name: (dims, piece[name].astype(dtype)) for name, (dims, dtype) in forms.items()}
        )

    slabs = (slab(piece) for piece in chain([first], pieces))
    write_slabs(frame, slabs, "window", path)


def write_slabs(like: xr.Dataset, slabs: Iterable[xr.Dataset], dim: str, path: str | Path) -> None:
    """Write variables slab by slab, in the form of a data set, so that memory holds one of them.

    The form is dims and their order, coordinates, attributes, calendar and packing; the file is
    NetCDF-4 whatever the data set was read from. A variable of which some values are beyond what
    its packing holds is written unpacked, and the log says so. An interrupted write leaves no file
    behind.

    Args:
        like: the data set. What the slabs have no variable of is written as it is; of the others
            the values are not read.
        slabs: the same variables in each, one slab after the other along a dimension.
        dim: this dimension.
        path: the file; one that exists is overwritten.

    Raises:
        InputError: the slabs together are not as long as the data set, or NetCDF cannot hold it.
    """
    slabs = iter(slabs)
    first = next(slabs)
    like = without_multi_indexes(like)
    variables, attributes = xr.conventions.encode_dataset_coordinates(like)
    packings = {name: Packing.of(name, variables.pop(name)) for name in first.data_vars}
    with atomic_path(path) as temporary, TemporaryFile(dir=temporary.parent) as held:
        with writable():
            frame = xr.Dataset(_encoded(variables), attrs=attributes)
        frame.encoding = {key: of for key, of in like.encoding.items() if key == UNLIMITED}
        write_netcdf(frame, temporary, keep=("_FillValue", *COMPRESSION))
        # A variable keeps its type once it is in a file: all slabs are seen before one is written.
        packings, lengths = _hold(packings, chain([first], slabs), dim, held)
        if sum(lengths) != like.sizes[dim]:
            raise InputError(
                f"Received slabs of {sum(lengths)} entries along {dim!r}; expected the "
                f"{like.sizes[dim]} of the data set."
            )
        with writable(), h5netcdf.File(temporary, "a") as file:
            for name, packing in packings.items():
                _create(file, packing, like[name].variable, dim, lengths[0])
            held.seek(0)
            for stop, length in zip(np.cumsum(lengths), lengths, strict=True):
                for name, packing in packings.items():
                    values = packing.encoded(xr.Variable(packing.dims, np.load(held)))
                    place = {dim: slice(int(stop) - length, int(stop))}
                    file[name][tuple(place.get(d, slice(None)) for d in packing.dims)] = values.data


def _hold(packings, slabs, dim, held):
    """Put slabs into a file as they are.

    Returns:
        Packings that hold all of them, and their lengths.
    """
    misfits, invalid = dict.fromkeys(packings, 0), dict.fromkeys(packings, 0)
    lengths = []
    for slab in slabs:
        lengths.append(slab.sizes[dim])
        for name, packing in packings.items():
            values = slab[name].variable.transpose(*packing.dims)
            misfits[name] += packing.misfits(values)
            invalid[name] += packing.invalid(values)
            np.save(held, values.values)
    for name, packing in packings.items():
        if misfits[name]:
            packings[name] = packing.unpacked(slab[name].dtype)
            logger.warning(
                "%s values of %r are not among those that its packing as %s can hold; it is "
                "written unpacked, as %s.",
                *(f"{misfits[name]:,}", name, packing.dtype, packings[name].dtype),
            )
        elif invalid[name]:
            logger.warning(
                "%s values of %r are outside the valid range that its attributes tell; who reads "
                "them takes them for missing.",
                *(f"{invalid[name]:,}", name),
            )
    return packings, lengths


def _encoded(variables):
    """Variables as they are stored, with the attributes that they had and no others."""
    told = {name: (variable.attrs, variable.encoding) for name, variable in variables.items()}
    for variable in variables.values():
        encoding = {"_FillValue": None} | variable.encoding
        if variable.dtype.kind == "M" and "units" in encoding:
            encoding = {"calendar": "standard"} | encoding  # is meant where none is told
        variable.attrs, variable.encoding = with_one_fill_value(variable.attrs, encoding)
    encoded, _ = xr.conventions.cf_encoder(variables, {})
    for name, (attrs, encoding) in told.items():
        stored = attrs | encoded[name].attrs
        if stored.get("calendar") == "standard" and "calendar" not in encoding:
            del stored["calendar"]
        # The same unit since the same date, which xarray writes in its own way.
        units = encoding.get("units", "")
        if units.split()[:1] == str(stored.get("units")).split()[:1]:
            stored["units"] = units
        encoded[name].attrs = stored
    return encoded


def _create(file, packing, like, dim, length):
    """A variable in an open file, without its values, that notices when these are damaged."""
    for each, size in like.sizes.items():
        if each not in file.dimensions:
            file.dimensions[each] = size
    empty = packing.encoded(xr.Variable(packing.dims, np.empty((0,) * like.ndim)))
    attrs = {key: of_fixed_length(value) for key, value in empty.attrs.items()}
    fill = attrs.pop("_FillValue", None)
    compression = {}
    if packing.encoding.get("zlib"):
        compression = {
            "compression": "gzip",
            "compression_opts": packing.encoding.get("complevel", 4),
            "shuffle": packing.encoding.get("shuffle", True),
        }
    variable = file.create_variable(
        packing.name,
        packing.dims,
        empty.dtype,
        fillvalue=fill,
        chunks=_chunks(like, dim, length),
        fletcher32=True,
        **compression,
    )
    variable.attrs.update(attrs)


def _chunks(like, dim, length):
    """Across slabs those of the source; along them such that few belong to two slabs."""
    told = like.encoding.get("chunksizes") or ()
    chunks = dict(like.sizes)
    if len(told) == like.ndim:
        chunks = {
            each: min(chunk, chunks[each]) for each, chunk in zip(like.dims, told, strict=True)
        }
    across = prod(size for each, size in chunks.items() if each != dim)
    chunks[dim] = min(length, max(1, CHUNK // across))
    return tuple(chunks.values())
