"""The exported versions in a directory: loaded, checked, let go."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf import saved_model_pb2

from tf4dvar.data import Signature
from tf4dvar.data.misfit import implausible
from tf4dvar.errors import InputError, first_line
from tf4dvar.serving.directory import version_card, version_numbers
from tf4dvar.serving.protocol import DEFAULT, WITH_ITERATIONS, Call, Refusal
from tf4dvar.storage import open_regular
from tf4dvar.storage.version_directory import check_digests, files_of

logger = logging.getLogger(__name__)

# Inputs and outputs of what every export has.
SIGNATURES = {
    DEFAULT: ({"observations"}, {"state"}),
    WITH_ITERATIONS: ({"observations", "iterations"}, {"state", "cost"}),
}
OUTPUTS = ("state", "std", "cost")
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
        # Exports of before do not tell it.
        trained_on = card.get("trained_on")
        self.signature = None if trained_on is None else Signature.from_json(trained_on)
        # What is observed where it is not the state, and the noise that the model counts with.
        self._observation = card.get("observation", "not told")
        self._noise_variance = card.get("noise_variance")
        try:
            self._load(directory)
        except InputError:
            raise
        except Exception as error:  # a damaged SavedModel fails in many ways
            raise InputError(f"{directory} cannot be loaded ({first_line(error)}).") from error

    def _load(self, directory):
        with open_regular(directory / "saved_model.pb") as file:
            proto = saved_model_pb2.SavedModel.FromString(file.read())
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
        # Of what a time has: the sizes of space, and the number of components.
        self.places = tuple(dim.size for dim in shape.dim[2:])
        self(Call(np.full((1, 2, *self.places), np.nan, "float32"), by_rows=False))

    def __call__(self, call: Call) -> dict[str, np.ndarray]:
        """Run the signature of a call.

        Raises:
            Refusal: the model has no such signature, or takes something else.
        """
        observations, name, iterations = call.observations, call.signature, call.iterations
        windows = len(observations)
        if self._compiled and name == DEFAULT:
            # A few sizes of batches, not all.
            missing = (1 << (windows - 1).bit_length()) - windows
            padded = np.pad(observations, ((0, missing), *[(0, 0)] * (observations.ndim - 1)))
            if padded.shape in self._shapes or len(self._shapes) < COMPILED_SHAPES:
                self._shapes.add(padded.shape)
                observations = padded
            else:
                # The same states, by the loop.
                name, iterations = WITH_ITERATIONS, self.iterations
        inputs: dict[str, Any] = {"observations": observations, **call.given}
        if iterations is not None:
            inputs["iterations"] = np.int32(iterations)
        elif name not in SIGNATURES:
            inputs = self._completed(name, inputs)
        outputs = self._loaded.signatures[name](
            **{of: tf.constant(values) for of, values in inputs.items()}
        )
        wanted = self._signatures[call.signature].outputs
        return {of: outputs[of].numpy()[:windows] for of in OUTPUTS if of in wanted}

    def suspect(self, call: Call, states: np.ndarray) -> np.ndarray:
        """Whether states do not fit their observations, as far as that is known; see `implausible`.

        Args:
            call: what was asked.
            states: the answer's, [batch, time, *space, component].
        """
        given, variance = call.given.get("noise_variance"), self._noise_variance
        if variance is not None:
            variance = variance if given is None else np.where(np.isnan(given), variance, given)
        elif given is None and self.signature is not None:
            variance = self.signature.noise_variance
        if variance is None or self._observation is not None:
            return np.zeros(len(states), bool)
        return implausible(call.observations - states, np.asarray(variance))

    def _completed(self, name, inputs):
        """With what the signature takes besides, of which nothing is known."""
        if name not in self._signatures:
            raise Refusal(
                400,
                f"The model has no signature {name!r}; it has {', '.join(sorted(self._signatures))}"
                ".",
            )
        shape = inputs["observations"].shape
        completed = {}
        for of, spec in self._signatures[name].inputs.items():
            *places, size = (dim.size for dim in spec.tensor_shape.dim)
            if of == "land":
                completed[of] = np.zeros((len(inputs["observations"]), *places[1:], size), "f4")
                continue
            values = inputs.get(of)
            if values is None:
                values = np.full((*shape[:-1], size), np.nan, "float32")
            if values.shape[-1] != size:
                raise Refusal(
                    400, f"Received {of!r} of {values.shape[-1]} components; expected {size}."
                )
            completed[of] = values
        return completed

    def metadata(self) -> dict[str, Any]:
        """The signatures as TensorFlow Serving shows them, and what the model was trained on."""
        signatures = {
            name: MessageToDict(
                self._signatures[name],
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name in sorted(self._signatures)
        }
        return {
            "signature_def": {"signature_def": signatures},
            "trained_on": self.signature and self.signature.to_json(),
        }


class _Seen(NamedTuple):
    """A version as it was found.

    Attributes:
        files: what was found, to notice another in its place.
        version: None where it cannot be served.
        problem: why not.
    """

    files: Any
    version: Version | None
    problem: str = ""


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
        self._seen: dict[int, _Seen] = {}

    def refresh(self) -> None:
        """Load what is new or has changed, let go of what was deleted.

        Each version is judged alone: whatever is wrong with one is said once, and is its state.

        Raises:
            OSError: the directory itself cannot be looked at.
        """
        present = version_numbers(self.directory)
        self._seen = {n: seen for n, seen in self._seen.items() if n in present}
        for number in sorted(present):
            files = _files(self.directory / str(number))
            if number not in self._seen or self._seen[number].files != files:
                self._seen = {**self._seen, number: self._look(number, files)}

    def _look(self, number: int, files: Any) -> _Seen:
        try:
            version = Version(self.directory / str(number), self.force)
        except Exception as error:  # a reader of damaged files fails in many ways
            problem = str(error) if isinstance(error, InputError) else first_line(error)
            logger.error("Version %d is refused: %s", number, problem)
            return _Seen(files, None, problem)
        logger.info("Version %d is loaded", number)
        return _Seen(files, version)

    def get(self, number: int | None) -> tuple[int, Version]:
        """A version by its number, or the newest that loads.

        Raises:
            Refusal: there is none.
        """
        loaded = {n: seen.version for n, seen in self._seen.items() if seen.version}
        chosen = max(loaded, default=None) if number is None else number
        if chosen is None or chosen not in loaded:
            raise Refusal(404, _not_found(number))
        return chosen, loaded[chosen]

    def status(self, number: int | None) -> dict[str, Any]:
        """The state of one version, or of all, newest first, as TensorFlow Serving reports it.

        Raises:
            Refusal: there is none of this number.
        """
        seen = self._seen
        if number is not None:
            if number not in seen:
                raise Refusal(404, _not_found(number))
            seen = {number: seen[number]}
        return {
            "model_version_status": [
                {
                    "version": str(n),
                    "state": "AVAILABLE" if one.version else "END",
                    "status": {
                        "error_code": "OK" if one.version else "INVALID_ARGUMENT",
                        "error_message": one.problem,
                    },
                }
                for n, one in sorted(seen.items(), reverse=True)
            ]
        }


def _files(directory: Path) -> Any:
    """Those of a version, or what is wrong with them."""
    try:
        return files_of(directory)
    except (OSError, InputError) as error:
        return str(error)


def _not_found(number: int | None) -> str:
    wanted = "the newest version" if number is None else f"version {number}"
    return f"Servable not found for request: {wanted}."
