"""TensorFlow Serving's REST bodies: JSON to arrays and back."""

import re
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import orjson

from tf4dvar.errors import shown

DEFAULT, WITH_ITERATIONS = "serving_default", "reconstruct_with"
# Those that are told what else is known of the windows.
GIVEN, POSTERIOR = "reconstruct_given", "posterior"
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


@dataclass(frozen=True)
class Call:
    """What a `:predict` request asks for.

    Attributes:
        observations: [batch, time, *space, component], float32, NaN = missing.
        by_rows: whether it came, and is answered, in row format ("instances").
        signature: of the exported graph.
        iterations: K of `reconstruct_with`, None for all others.
        given: what else is known, by name, [batch, time, *space, component], NaN = not known.
    """

    observations: np.ndarray
    by_rows: bool
    signature: str = DEFAULT
    iterations: int | None = None
    given: dict[str, np.ndarray] = field(default_factory=dict)


Window = TypeVar("Window")


# The form of a request, refused at its first element that is another: as any JSON, 4 MiB of empty
# objects become dictionaries of 800 MB.
class _Row(msgspec.Struct, Generic[Window], forbid_unknown_fields=True):
    observations: Window
    noise_variance: Window | None = None
    background: Window | None = None


class _Columns(msgspec.Struct, Generic[Window], forbid_unknown_fields=True):
    observations: list[Window]
    noise_variance: list[Window] | None = None
    background: list[Window] | None = None
    iterations: int | None = None


KNOWN = ("noise_variance", "background")


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
    name = request.signature_name
    if name not in (DEFAULT, WITH_ITERATIONS, GIVEN, POSTERIOR):
        raise Refusal(
            400,
            f"Unknown signature_name; expected {DEFAULT!r}, {WITH_ITERATIONS!r}, {GIVEN!r} or "
            f"{POSTERIOR!r}.",
        )
    if by_rows and name == WITH_ITERATIONS:
        raise Refusal(
            400, f"{WITH_ITERATIONS!r} has a scalar input: give it in column format, 'inputs'."
        )
    inputs = request.inputs
    if not isinstance(inputs, _Columns):
        inputs = _columns(inputs or request.instances or [])
    iterations = inputs.iterations
    if (name == WITH_ITERATIONS) == (iterations is None):
        raise Refusal(
            400, f"Expected the input 'iterations' with {WITH_ITERATIONS!r}, and with it alone."
        )
    if iterations is not None and not 0 <= iterations <= limits.iterations:
        raise Refusal(
            400,
            f"Received iterations = {shown(iterations)}; "
            f"expected an integer from 0 to {limits.iterations}.",
        )
    observations = _windows("observations", inputs.observations, limits)
    told = {of: getattr(inputs, of) for of in KNOWN}
    told = {of: windows for of, windows in told.items() if windows is not None}
    if told and name not in (GIVEN, POSTERIOR):
        raise Refusal(
            400, f"Expected {' and '.join(map(repr, told))} with {GIVEN!r} or {POSTERIOR!r} alone."
        )
    given = {of: _windows(of, windows, limits) for of, windows in told.items()}
    if np.any(given.get("noise_variance", 1.0) < np.finfo("float32").tiny):
        raise Refusal(400, "Received a noise_variance that is not positive.")
    for of, windows in given.items():
        if windows.shape[:-1] != observations.shape[:-1]:
            raise Refusal(
                400,
                f"Received {of!r} of shape {list(windows.shape)} for observations of shape "
                f"{list(observations.shape)}; expected the same windows, times and places.",
            )
    return Call(observations, by_rows, name, iterations, given)


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
    inputs = 1 + sum(f'"{name}"'.encode() in body for name in KNOWN)
    if lists > inputs * (1 + limits.windows * (1 + limits.steps)):
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


def _columns(rows: list[Any]) -> _Columns[Any]:
    """Of instances, or of instances that are objects with what is known of each."""
    told = {
        tuple(of for of in KNOWN if getattr(row, of) is not None) if isinstance(row, _Row) else None
        for row in rows
    }
    if len(told) > 1:
        raise Refusal(400, "Expected every instance to have the same inputs by name, or none.")
    named = next(iter(told), None)
    if named is None:
        return _Columns(rows)
    columns = _Columns([row.observations for row in rows])
    for of in named:
        setattr(columns, of, [getattr(row, of) for row in rows])
    return columns


def _too_large(received: str, limits: Limits) -> Refusal:
    return Refusal(
        413,
        f"Received {received}; the limits are {limits.windows} windows and {limits.steps} times.",
    )


def _windows(name: str, windows: list[Any], limits: Limits) -> np.ndarray:
    steps = max(map(len, windows), default=0)
    if len(windows) > limits.windows or steps > limits.steps:
        raise _too_large(f"{len(windows)} windows of {steps} times", limits)
    try:
        with np.errstate(over="ignore"):
            values = np.array(windows, "float32")
    except ValueError:
        values = np.empty(0, "float32")
    if values.ndim not in (3, 5) or values.size == 0:
        raise Refusal(
            400,
            f"Received {name} of shape {values.shape}; expected {SERIES}, of fields {FIELDS}, "
            "windows of one length, null where nothing is known.",
        )
    if np.isinf(values).any():
        raise Refusal(400, f"Received {name} with a number beyond the largest of float32.")
    return values
