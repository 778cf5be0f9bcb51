"""The exported versions in a directory: loaded, checked, let go."""

import contextlib
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf import saved_model_pb2

from tf4dvar.errors import InputError, first_line
from tf4dvar.serving.directory import version_card, version_numbers
from tf4dvar.serving.protocol import DEFAULT, WITH_ITERATIONS, Refusal
from tf4dvar.version_directory import check_digests

logger = logging.getLogger(__name__)

SIGNATURES = {
    DEFAULT: ({"observations"}, {"state"}),
    WITH_ITERATIONS: ({"observations", "iterations"}, {"state", "cost"}),
}
# Shapes of an unrolled export that are compiled: XLA keeps every one, and requests choose them.
COMPILED_SHAPES = 16


class Version:
    """One exported version, loaded and warm.

    Args:
        directory: of the SavedModel.
        force: take one that is not known to be this package's.

    Raises:
        InputError: it is not this package's, cannot be loaded, or has other signatures.
    """

    def __init__(self, directory: Path, force: bool = False):
        card = version_card(directory, force)
        check_digests(directory, card)
        # By XLA, for every shape anew; `reconstruct_with` never is.
        self._compiled = card.get("unrolled", False)
        self._shapes: set[tuple[int, ...]] = set()
        # K of `serving_default`, which a stranger does not tell.
        self.iterations: int = card.get("iterations", 0)
        try:
            self._load(directory)
        except InputError:
            raise
        except Exception as error:  # a damaged SavedModel fails in many ways
            raise InputError(f"{directory} cannot be loaded ({first_line(error)}).") from error

    def _load(self, directory):
        proto = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
        self._loaded = tf.saved_model.load(str(directory))
        self._signatures = dict(proto.meta_graphs[0].signature_def)
        for name, names in SIGNATURES.items():
            signature = self._signatures.get(name)
            if signature is None or (set(signature.inputs), set(signature.outputs)) != names:
                inputs, outputs = (", ".join(sorted(some)) for some in names)
                raise InputError(
                    f"{directory} has no signature {name}({inputs}) -> {outputs}; expected an "
                    "export of tf4dvar."
                )
        shape = self._signatures[DEFAULT].inputs["observations"].tensor_shape
        self.components = shape.dim[-1].size
        self(np.full((1, 2, self.components), np.nan, "float32"), None)

    def __call__(self, observations: np.ndarray, iterations: int | None) -> dict[str, np.ndarray]:
        """Run `serving_default`, or `reconstruct_with` if there is a number of iterations."""
        windows = len(observations)
        name = DEFAULT if iterations is None else WITH_ITERATIONS
        wanted = SIGNATURES[name][1]
        if self._compiled and name == DEFAULT:
            # A few sizes of batches, not all.
            missing = (1 << (windows - 1).bit_length()) - windows
            padded = np.pad(observations, ((0, missing), (0, 0), (0, 0)))
            if padded.shape in self._shapes or len(self._shapes) < COMPILED_SHAPES:
                self._shapes.add(padded.shape)
                observations = padded
            else:
                # The same states, by the loop.
                name, iterations = WITH_ITERATIONS, self.iterations
        inputs = {"observations": tf.constant(observations)}
        if iterations is not None:
            inputs["iterations"] = tf.constant(iterations)
        outputs = self._loaded.signatures[name](**inputs)
        return {key: outputs[key].numpy()[:windows] for key in ("state", "cost") if key in wanted}

    def metadata(self) -> dict[str, Any]:
        """The signatures as TensorFlow Serving shows them."""
        return {
            name: MessageToDict(
                self._signatures[name],
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name in sorted(self._signatures)
        }


class _Failure(NamedTuple):
    message: str
    files: set[tuple[Path, int, int]]


class Versions:
    """The versions `directory/1`, `directory/2`, ..., as far as they load.

    Args:
        directory: as `tf4dvar export` writes it.
        force: take versions that are not known to be this package's.
    """

    def __init__(self, directory: Path, force: bool = False):
        self.directory = directory
        self.force = force
        # Replaced, never changed: one thread loads while another answers.
        self._loaded: dict[int, Version] = {}
        self._failed: dict[int, _Failure] = {}

    def refresh(self) -> None:
        """Load what is new or changed since it failed, let go of what was deleted."""
        present = version_numbers(self.directory)
        for number in sorted(present - self._loaded.keys()):
            directory = self.directory / str(number)
            files = _files(directory)
            if number in self._failed and self._failed[number].files == files:
                continue
            try:
                version = Version(directory, self.force)
            except InputError as error:
                logger.error("Version %d is refused: %s", number, error)
                self._failed = {**self._failed, number: _Failure(str(error), files)}
            else:
                logger.info("Version %d is loaded", number)
                # First loaded, then not failed: it is always one of them.
                self._loaded = {**self._loaded, number: version}
                self._failed = {n: one for n, one in self._failed.items() if n != number}
        self._loaded = {n: version for n, version in self._loaded.items() if n in present}
        self._failed = {n: failure for n, failure in self._failed.items() if n in present}

    def get(self, number: int | None) -> tuple[int, Version]:
        """A version by its number, or the newest that loads.

        Raises:
            Refusal: there is none.
        """
        loaded = self._loaded
        chosen = max(loaded, default=None) if number is None else number
        if chosen is None or chosen not in loaded:
            raise Refusal(404, _not_found(number))
        return chosen, loaded[chosen]

    def status(self, number: int | None) -> dict[str, Any]:
        """The state of one version, or of all, newest first, as TensorFlow Serving reports it.

        Raises:
            Refusal: there is none of this number.
        """
        states = {n: ("END", "INVALID_ARGUMENT", one.message) for n, one in self._failed.items()}
        states |= {n: ("AVAILABLE", "OK", "") for n in self._loaded}
        if number is not None:
            if number not in states:
                raise Refusal(404, _not_found(number))
            states = {number: states[number]}
        return {
            "model_version_status": [
                {
                    "version": str(n),
                    "state": state,
                    "status": {"error_code": code, "error_message": message},
                }
                for n, (state, code, message) in sorted(states.items(), reverse=True)
            ]
        }


def _files(directory: Path) -> set[tuple[Path, int, int]]:
    """Paths, sizes and times of change, which tell a copy that goes on from one that is done."""
    files = set()
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # it was renamed meanwhile
            stat = path.stat()
            files.add((path, stat.st_size, stat.st_mtime_ns))
    return files


def _not_found(number: int | None) -> str:
    wanted = "the newest version" if number is None else f"version {number}"
    return f"Servable not found for request: {wanted}."
