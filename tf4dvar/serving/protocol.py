"""TensorFlow Serving's REST bodies: JSON to arrays and back."""

import re
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
import orjson

from tf4dvar.errors import shown

DEFAULT, WITH_ITERATIONS = "serving_default", "reconstruct_with"
SERIES, FIELDS = "[batch, time, component]", "[batch, time, y, x, component]"


class Refusal(Exception):
    """A request that is answered with an HTTP error and one clear message."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.message = message

    def __reduce__(self):
        return Refusal, (self.status, self.message)


@dataclass(frozen=True)
class Limits:
    """The largest request that is taken.

    Attributes:
        body: bytes of the body.
        windows: windows in a request.
        steps: times in a window.
        iterations: K of `reconstruct_with`.
        values: windows x times x places x components x (K + 1), what it may cost: the default is
            some ten seconds of one core. K is the request's or, by default, the model's.
        seconds: from the headers of the request to its answer, and again until it is fetched.
        requests: in progress at once.
    """

    body: int = 4 * 2**20
    windows: int = 256
    steps: int = 2000
    iterations: int = 200
    values: int = 2**25
    seconds: float = 60.0
    requests: int = 128


class Call(NamedTuple):
    """What a `:predict` request asks for.

    Attributes:
        observations: [batch, time, *space, component], float32, NaN = missing.
        iterations: K of `reconstruct_with`, None for `serving_default`.
        by_rows: whether it came, and is answered, in row format ("instances").
    """

    observations: np.ndarray
    iterations: int | None
    by_rows: bool


Window = TypeVar("Window")


# The form of a request, refused at its first element that is another: as any JSON, 4 MiB of empty
# objects become dictionaries of 800 MB.
class _Row(msgspec.Struct, Generic[Window], forbid_unknown_fields=True):
    observations: Window


class _Columns(msgspec.Struct, Generic[Window], forbid_unknown_fields=True):
    observations: list[Window]
    iterations: int | None = None


class _Request(msgspec.Struct, Generic[Window], forbid_unknown_fields=True):
    instances: list[Window | _Row[Window]] | None = None
    inputs: list[Window] | _Columns[Window] | None = None
    signature_name: str = DEFAULT


_Maps = list[list[list[float | None]]]
_of_series = msgspec.json.Decoder(_Request[list[list[float | None]]])
_of_fields = msgspec.json.Decoder(_Request[list[_Maps]])
# So many lists within each other are of fields.
_NESTED = re.compile(rb"(?:\[\s*){4}")


def parse_call(body: bytes, limits: Limits) -> Call:
    """Read the body of a `:predict` request.

    Raises:
        Refusal: it is not JSON, not of TensorFlow Serving's form, or beyond the limits (of
            which the version that answers checks `values`).
    """
    request = _decode(body, limits)
    by_rows = request.instances is not None
    if by_rows == (request.inputs is not None):
        raise Refusal(400, "Expected a JSON object with either 'instances' or 'inputs'.")
    with_iterations = request.signature_name == WITH_ITERATIONS
    if not with_iterations and request.signature_name != DEFAULT:
        raise Refusal(400, f"Unknown signature_name; expected {DEFAULT!r} or {WITH_ITERATIONS!r}.")
    if by_rows and with_iterations:
        raise Refusal(
            400, f"{WITH_ITERATIONS!r} has a scalar input: give it in column format, 'inputs'."
        )
    inputs = request.inputs
    if not isinstance(inputs, _Columns):
        inputs = _Columns(inputs or _windows(request.instances or []))
    iterations = inputs.iterations
    if with_iterations == (iterations is None):
        raise Refusal(
            400, f"Expected the input 'iterations' with {WITH_ITERATIONS!r}, and with it alone."
        )
    if iterations is not None and not 0 <= iterations <= limits.iterations:
        raise Refusal(
            400,
            f"Received iterations = {shown(iterations)}; "
            f"expected an integer from 0 to {limits.iterations}.",
        )
    return Call(_observations(inputs.observations, limits), iterations, by_rows)


def render_answer(outputs: dict[str, np.ndarray], by_rows: bool) -> bytes:
    """The body of the answer; an output alone goes without its name."""
    value: Any
    if len(outputs) == 1:
        (value,) = outputs.values()
    elif by_rows:
        value = [
            dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)
        ]
    else:
        value = outputs
    return orjson.dumps(
        {"predictions" if by_rows else "outputs": value}, option=orjson.OPT_SERIALIZE_NUMPY
    )


def _decode(body: bytes, limits: Limits) -> _Request[Any]:
    """JSON in which NaN is also a number, as TensorFlow Serving and Python have it."""
    # A list takes many times its two brackets, and is built before it can be counted.
    lists = body.count(b"[")
    if lists > 1 + limits.windows * (1 + limits.steps):
        raise _too_large(f"{lists} lists", limits)
    decoder, shape = (_of_fields, FIELDS) if _NESTED.search(body) else (_of_series, SERIES)
    try:
        return decoder.decode(body.replace(b'"NaN"', b"null").replace(b"NaN", b"null"))
    except msgspec.ValidationError as error:
        raise Refusal(
            400,
            f"{str(error)[:150]}. Expected a JSON object with either 'instances' or 'inputs', of "
            f"the shape {shape}, each element a number, null or NaN.".replace("`", "'"),
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"The body is not JSON: {error}.") from None


def _windows(rows: list[Any]) -> list[Any]:
    """Instances, or instances that are objects with the one input."""
    if len(set(map(type, rows))) > 1:
        raise Refusal(400, "Expected every instance to have 'observations', or none.")
    return [row.observations if isinstance(row, _Row) else row for row in rows]


def _too_large(received: str, limits: Limits) -> Refusal:
    return Refusal(
        413,
        f"Received {received}; the limits are {limits.windows} windows and {limits.steps} times.",
    )


def _observations(windows: list[Any], limits: Limits) -> np.ndarray:
    steps = max(map(len, windows), default=0)
    if len(windows) > limits.windows or steps > limits.steps:
        raise _too_large(f"{len(windows)} windows of {steps} times", limits)
    try:
        with np.errstate(over="ignore"):
            observations = np.array(windows, "float32")
    except ValueError:
        observations = np.empty(0, "float32")
    if observations.ndim not in (3, 5) or observations.size == 0:
        raise Refusal(
            400,
            f"Received observations of shape {observations.shape}; expected {SERIES}, of fields "
            f"{FIELDS}, windows of one length, null where nothing was observed.",
        )
    if np.isinf(observations).any():
        raise Refusal(400, "Received an observation beyond the largest float32 number.")
    return observations
