"""What in a file or a store is looked at before anything of it is read."""

import json
import os
import stat
from pathlib import Path

import h5py
import numpy as np
import psutil

# Values that a file may declare for each byte it holds: more than real data are packed.
PACKED = 2**14
# What marks a folder as a zarr store, and where its arrays' filters are named.
ZARR = (".zgroup", ".zarray", ".zmetadata", "zarr.json")
# Of a zarr store's filters; another, as `pickle`, could run what the file says.
CODECS = {
    *("adler32", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta"),
    *("fixedscaleoffset", "fletcher32", "gzip", "lz4", "lzma", "packbits", "quantize"),
    *("sharding_indexed", "shuffle", "transpose", "vlen-bytes", "vlen-utf8", "zlib", "zstd"),
}
_FILTERS = {"compressor", "compressors", "filters", "codecs", "index_codecs"}


def complaint_of_hdf5(path: Path, in_memory: bool) -> str | None:
    """What in a file would hang its reader or fill the memory; None if nothing.

    HDF5 lets values lie in any other file or device, and be declared without being there.

    Args:
        path: the file.
        in_memory: whether all of it is to be in memory.
    """
    most = _most(path.stat().st_size, in_memory)
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


def complaint_of_zarr(path: Path, in_memory: bool) -> str | None:
    """As `complaint_of_hdf5`, of a store: chunks are files, and metadata name what decodes them.

    Args:
        path: the store.
        in_memory: whether all of it is to be in memory.
    """
    held = 0
    arrays = {}
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            inside = Path(folder, name)
            mode = inside.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return f"{inside} is no regular file"
            held += inside.lstat().st_size
            if name in ZARR:
                arrays[inside] = json.loads(inside.read_bytes())
    for file, metadata in arrays.items():
        odd = set(_filters_of(metadata)) - CODECS
        if odd:
            return f"{file.parent} is decoded by {sorted(odd)}; expected filters of numbers"
        size = np.prod([float(size) for size in metadata.get("shape", ())])
        if size * 8 > _most(held, in_memory):
            return f"{file.parent} of shape {metadata['shape']} is larger than the memory"
    return None


def _filters_of(metadata):
    """Names of all filters in the metadata of a store, those within others too."""
    if isinstance(metadata, list):
        for each in metadata:
            yield from _filters_of(each)
    if not isinstance(metadata, dict):
        return
    for key, value in metadata.items():
        if key == "attributes":
            continue
        if key in _FILTERS:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    yield str(each.get("id", each.get("name"))).removeprefix("numcodecs.")
                elif each is not None:
                    yield str(each)
        yield from _filters_of(value)


def _most(held, in_memory):
    """Bytes that an array may have: a small file may not declare what no machine holds."""
    memory = psutil.virtual_memory().total
    return memory if in_memory else max(memory, PACKED * held)
