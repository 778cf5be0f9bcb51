"""Reconstructing the files of an archive, some windows at a time."""

import glob
import hashlib
import logging
import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import xarray as xr

from tf4dvar.data import open_windows, readable, write_states
from tf4dvar.data.covariates import COVARIATES
from tf4dvar.data.noise_variance import VARIANCES
from tf4dvar.errors import InputError
from tf4dvar.evaluation.reconstruction import BATCH, Reconstruction, reconstruct
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.scale.manifest import Manifest
from tf4dvar.scale.workers import ray_workers
from tf4dvar.storage import atomic_path, locked
from tf4dvar.storage.version_directory import UNFINISHED

logger = logging.getLogger(__name__)

# Of a file, what is read.
TOLD = ("observations", *VARIANCES, COVARIATES)
# Entries of a chunk's observations, 8 MiB: seconds of work, and little to lose or to hold.
CHUNK_ENTRIES = 2**20


@dataclass
class _File:
    """A file of the archive and how far it is.

    `name` is its path below the archive's folder and, below the output folder, that of its states.
    `version` changes whenever the file does; `missing` is the number of chunks to be computed.
    """

    source: Path
    name: str
    out: Path
    chunks: list[slice] = field(default_factory=list)
    missing: int = 0
    failed: bool = False

    def __post_init__(self) -> None:
        status = self.source.stat()
        self.size = status.st_size
        self.version = f"{status.st_size:x}-{status.st_mtime_ns:x}"

    @property
    def states(self) -> Path:
        return self.out / self.name

    @property
    def unfinished(self) -> Path:
        return self.out / UNFINISHED / self.name

    def part(self, chunk: slice) -> Path:
        """The states of a chunk, until those of all are there."""
        return self.unfinished / self.version / f"{chunk.start}-{chunk.stop}.npz"


class Chunk(NamedTuple):
    """Some windows of a file.

    Attributes:
        file: where they are from.
        windows: which.
        data: their `observations`, and what the file tells of them.
    """

    file: _File
    windows: slice
    data: xr.Dataset


Reconstructor = Callable[[Iterable[Chunk]], Iterator[tuple[Chunk, Reconstruction | InputError]]]
"""Reconstructs chunks, in any order, as many ahead as it needs: each with its states or its error.
"""


class Summary(NamedTuple):
    """How the reconstruction of an archive ended.

    Attributes:
        files: number of files whose states are there now.
        already_there: number of them that were there before.
        windows: number of windows that were reconstructed.
        suspect: number of them whose states do not fit the observations.
        errors: by the name of the file, why it has no states.
    """

    files: int
    already_there: int
    windows: int
    suspect: int
    errors: dict[str, str]


def reconstruct_archive(
    pattern: str,
    out: str | Path,
    model: Path,
    reconstructor: Reconstructor,
    force: bool = False,
    progress: Callable[[float, int], None] | None = None,
) -> Summary:
    """Reconstruct all files of an archive, each into a file of the same name.

    Memory holds some chunks of windows, whatever the number and the size of the files. What was
    reconstructed is on the disk chunk by chunk: after an end at any moment, the same call goes on
    from there. A file that cannot be reconstructed is logged and left out, and is tried again by
    the next call. A file that has changed since is reconstructed anew.

    Args:
        pattern: the NetCDF files of windows, as `archive/*.nc`; `**` stands for any folders.
        out: the folder of the states; made where it does not exist. In it `manifest.jsonl`, see
            `Manifest`, and folders as below the part of the pattern without wildcards.
        model: the `.keras` file that the reconstructor has its model from.
        reconstructor: `with_model(load_model(model))`, or one of `with_workers`.
        force: reconstruct all files anew, and overwrite files that are not in the manifest.
        progress: called with the share of the archive that is done and the number of windows.

    Raises:
        InputError: no files, those of another model in the output folder, or another process.
    """
    out = Path(out)
    files = [_File(source, name, out) for source, name in _find(pattern)]
    sources = {file.source.resolve() for file in files}
    for file in files:
        if file.states.resolve() in sources:
            raise InputError(f"The states would overwrite {file.states}; choose another folder.")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{out} is a file; expected a folder to write into.") from error
    with locked(out, wait=False) as claim:
        manifest = Manifest(out / "manifest.jsonl", digest, force)
        run = _Run(files, manifest, str(model), force, progress or (lambda share, windows: None))
        for chunk, found in reconstructor(run.chunks()):
            claim.check()
            run.accept(chunk, found)
        shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    if run.suspect:
        logger.warning(
            "The states of %d of %d windows do not fit their observations: the variable `suspect` "
            "tells which.",
            run.suspect,
            run.windows,
        )
    there = len(files) - len(run.errors)
    return Summary(there, run.already_there, run.windows, run.suspect, run.errors)


def with_model(model: FourDVarNet) -> Reconstructor:
    """The reconstructor that works in this process.

    Args:
        model: a trained model.
    """

    def reconstruct_all(chunks):
        for chunk in chunks:
            yield chunk, reconstruction_or_error(model, chunk.data, chunk.windows.start == 0)

    return reconstruct_all


@contextmanager
def with_workers(model: Path, workers: int, address: str | None) -> Iterator[Reconstructor]:
    """The reconstructor that works in processes on Ray; the driver alone reads and writes files.

    Args:
        model: its `.keras` file.
        workers, address: see `ray_workers`.
    """
    with ray_workers(workers, address, _load_in_worker, model.read_bytes()) as spread:
        yield lambda chunks: spread(
            (chunk, (chunk.data, chunk.windows.start == 0)) for chunk in chunks
        )


def _load_in_worker(
    keras_file: bytes,
) -> Callable[[xr.Dataset, bool], Reconstruction | InputError]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        path.write_bytes(keras_file)
        return partial(reconstruction_or_error, load_model(path))


def reconstruction_or_error(
    model: FourDVarNet, data: xr.Dataset, warnings: bool
) -> Reconstruction | InputError:
    """As `reconstruct`; an error is returned.

    Args:
        model: a trained model.
        data: windows.
        warnings: whether to warn of observations that are likely wrong.
    """
    try:
        return reconstruct(model, data, warnings)
    except (ValueError, tf.errors.OpError) as error:
        return InputError(str(error))


def _find(pattern: str) -> list[tuple[Path, str]]:
    """The files of a pattern, and their names below its part without wildcards.

    What is there under its very name is no wildcard: `g[1].nc`.
    """
    root, parts = Path(), list(Path(pattern).parts)
    while parts and (root / parts[0]).exists():
        root /= parts.pop(0)
    if root.is_file() and not parts:
        return [(root, root.name)]
    names = glob.glob("/".join(parts), root_dir=root, recursive=True) if parts else []
    found = [(root / name, name) for name in sorted(names) if (root / name).is_file()]
    if not found:
        raise InputError(f"No file matches {pattern}.")
    return found


class _Run:
    """One reconstruction of the files that are not finished."""

    def __init__(self, files, manifest, method, force, progress):
        self.manifest = manifest
        self.method = method
        self.force = force
        self.progress = progress
        self.files = [
            file
            for file in files
            if not (file.states.is_file() and manifest.version(file.name) == file.version)
        ]
        self.already_there = len(files) - len(self.files)
        self.errors: dict[str, str] = {}
        self.windows = self.suspect = 0
        self.size = sum(file.size for file in self.files)
        self.size_done = 0.0

    def chunks(self) -> Iterator[Chunk]:
        """What is to be reconstructed, read when it is asked for."""
        for file in self.files:
            try:
                yield from self._chunks_of(file)
            except InputError as error:
                self._fail(file, str(error))

    def _chunks_of(self, file: _File) -> Iterator[Chunk]:
        if self.force:
            shutil.rmtree(file.unfinished, ignore_errors=True)
        ours = self.manifest.version(file.name) is not None or file.unfinished.is_dir()
        if file.states.exists() and not (ours or self.force):
            raise InputError(
                f"{file.states} exists and is left as it is; force=True overwrites it."
            )
        with open_windows(file.source) as dataset:
            told = dataset[[name for name in TOLD if name in dataset]]
            file.chunks = _chunks(*told["observations"].shape)
            missing = [chunk for chunk in file.chunks if not file.part(chunk).is_file()]
            file.missing = len(missing)
            self._advance(file, 1 - file.missing / len(file.chunks))
            if not missing:
                self._finish(file)
            for windows in missing:
                if file.failed:
                    return
                with readable(file.source):
                    chunk = told.isel(window=windows).load()
                yield Chunk(file, windows, chunk)

    def accept(self, chunk: Chunk, found: Reconstruction | InputError) -> None:
        """Keep what became of a chunk."""
        file, windows, _ = chunk
        if file.failed:
            return
        if isinstance(found, InputError):
            self._fail(file, f"Windows {windows.start} to {windows.stop - 1}: {found}")
            return
        file.part(windows).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file.part(windows)) as temporary:
            np.savez(temporary, **found.written)
        file.missing -= 1
        self.windows += len(found.states)
        self.suspect += int(found.suspect.sum())
        self._advance(file, 1 / len(file.chunks))
        if not file.missing:
            try:
                self._finish(file)
            except InputError as error:
                self._fail(file, str(error))

    def _finish(self, file: _File) -> None:
        """Put the parts together."""
        file.states.parent.mkdir(parents=True, exist_ok=True)
        parts = (_arrays(file.part(chunk)) for chunk in file.chunks)
        with open_windows(file.source) as source:
            write_states(source, parts, file.states, method=self.method)
        self.manifest.add(file.name, version=file.version, windows=file.chunks[-1].stop)
        shutil.rmtree(file.unfinished)

    def _fail(self, file: _File, error: str) -> None:
        file.failed = True
        self.errors[file.name] = error
        self.manifest.add(file.name, error=error)
        shutil.rmtree(file.unfinished, ignore_errors=True)
        logger.error("%s is left out: %s", file.source, error)
        self._advance(file, file.missing / len(file.chunks) if file.chunks else 1.0)

    def _advance(self, file: _File, share: float) -> None:
        # In bytes: the number of windows of files to come is not known yet.
        self.size_done += share * file.size
        self.progress(self.size_done / max(1, self.size), self.windows)


def _arrays(part):
    with np.load(part) as arrays:
        return dict(arrays)


def _chunks(windows: int, *of_each: int) -> list[slice]:
    """All windows, some batches at a time."""
    entries = math.prod(of_each)
    if not windows * entries:
        raise InputError(
            f"Received observations of shape {(windows, *of_each)}: there is nothing to "
            "reconstruct."
        )
    size = BATCH * max(1, CHUNK_ENTRIES // (BATCH * entries))
    return [slice(start, min(start + size, windows)) for start in range(0, windows, size)]
