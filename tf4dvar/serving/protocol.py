"""TensorFlow Serving's REST bodies: JSON to arrays and back."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson

from tf4dvar.errors import shown

DEFAULT, WITH_ITERATIONS = "serving_default", "reconstruct_with"


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
        values: windows x times x components x (K + 1), what it may cost: the default is some
            ten seconds of one core. K is the request's or, by default, the model's.
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
        observations: [batch, time, component], float32, NaN = missing.
        iterations: K of `reconstruct_with`, None for `serving_default`.
        by_rows: whether it came, and is answered, in row format ("instances").
    """

    observations: np.ndarray
    iterations: int | None
    by_rows: bool


def parse_call(body: bytes, limits: Limits) -> Call:
    """Read the body of a `:predict` request.

    Raises:
        Refusal: it is not JSON, not of TensorFlow Serving's form, or beyond the limits (of
            which the version that answers checks `values`).
    """
    request = _parse_json(body)
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise Refusal(400, "Expected a JSON object with either 'instances' or 'inputs'.")
    unknown = request.keys() - {"instances", "inputs", "signature_name"}
    if unknown:
        raise Refusal(
            400,
            f"Received the keys {shown(sorted(unknown))}; expected 'instances' or 'inputs' and, "
            "if need be, 'signature_name'.",
        )
    signature = request.get("signature_name", DEFAULT)
    if signature not in (DEFAULT, WITH_ITERATIONS):
        raise Refusal(400, f"Unknown signature_name; expected {DEFAULT!r} or {WITH_ITERATIONS!r}.")
    by_rows = "instances" in request
    if by_rows and signature == WITH_ITERATIONS:
        raise Refusal(
            400, f"{WITH_ITERATIONS!r} has a scalar input: give it in column format, 'inputs'."
        )
    inputs = _columns(request["instances"]) if by_rows else request["inputs"]
    if not isinstance(inputs, dict):
        inputs = {"observations": inputs}
    expected = {"observations"} | ({"iterations"} if signature == WITH_ITERATIONS else set())
    if inputs.keys() != expected:
        raise Refusal(
            400, f"Received the inputs {shown(sorted(inputs))}; expected {sorted(expected)}."
        )
    _check_size(inputs["observations"], limits)
    observations = _observations(inputs["observations"])
    iterations = inputs.get("iterations")
    # A truth value is a kind of integer.
    if "iterations" in inputs and not (
        type(iterations) is int and 0 <= iterations <= limits.iterations
    ):
        raise Refusal(
            400,
            f"Received iterations = {shown(iterations)}; "
            f"expected an integer from 0 to {limits.iterations}.",
        )
    return Call(observations, iterations, by_rows)


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


def render_error(message: str) -> bytes:
    """The body of an error."""
    return orjson.dumps({"error": message})


def _parse_json(body: bytes) -> Any:
    """JSON in which NaN is also a number, as TensorFlow Serving and Python have it."""
    try:
        return orjson.loads(body.replace(b'"NaN"', b"null").replace(b"NaN", b"null"))
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The body is not JSON: {error}.") from None


def _columns(instances: Any) -> Any:
    """Instances that are objects with the one input, as one array."""
    if isinstance(instances, list) and instances and isinstance(instances[0], dict):
        if any(not isinstance(row, dict) or row.keys() != {"observations"} for row in instances):
            raise Refusal(400, "Expected every instance to have 'observations' and nothing else.")
        return [row["observations"] for row in instances]
    return instances


def _observations(nested: Any) -> np.ndarray:
    # As objects first: NumPy would read text and truth values as numbers.
    try:
        values = np.array(nested, dtype=object)
    except ValueError:
        values = np.empty(0, object)
    if values.ndim != 3 or values.size == 0:
        raise Refusal(
            400,
            f"Received observations of shape {values.shape}; expected [batch, time, component], "
            "windows of one length, null where nothing was observed.",
        )
    kinds = set(map(type, values.ravel()))
    if not kinds <= {float, int, type(None)}:
        raise Refusal(400, "Expected every observation to be a number, null or NaN.")
    with np.errstate(over="ignore"):
        observations = values.astype("float32")
    if np.isinf(observations).any():
        raise Refusal(400, "Received an observation beyond the largest float32 number.")
    return observations


def _check_size(nested: Any, limits: Limits) -> None:
    """Refuse what is too large, before arrays are made of it."""
    windows = nested if isinstance(nested, list) else []
    steps = max((len(window) for window in windows if isinstance(window, list)), default=0)
    if len(windows) > limits.windows or steps > limits.steps:
        raise Refusal(
            413,
            f"Received {len(windows)} windows of {steps} times; "
            f"the limits are {limits.windows} windows and {limits.steps} times.",
        )
