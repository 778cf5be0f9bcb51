"""A signature in JSON's types, and back from a record that anybody may have written."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tf4dvar.errors import InputError, shown

# Of each kind; no data have more.
MOST = 2**16
RANK = 8

Name = Annotated[str, Meta(max_length=1000)]
Count = Annotated[int, Meta(ge=0, lt=2**62)]
Steps = Annotated[int, Meta(ge=1, lt=2**31)]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]
NotNegative = Annotated[float, Meta(ge=0.0, le=1e300)]
Positive = Annotated[float, Meta(gt=0.0, le=1e300)]


def written(signature: Any) -> dict[str, Any]:
    """A `Signature` in JSON's types.

    Args:
        signature: it.
    """
    return msgspec.json.decode(msgspec.json.encode(signature))


def read(kind: type[Any], record: Any) -> Any:
    """The signature of a record.

    Args:
        kind: `Signature`.
        record: of `written`, or anything else. What an earlier version did not write is as by
            default.

    Raises:
        InputError: it is no record of a signature.
    """
    try:
        signature = msgspec.convert(record, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"Received {shown(record)} for a signature: {error}.") from error
    found = written(signature)
    problems = [
        f"its {name} {shown(getattr(signature, name))}; expected {expected}"
        for name, expected in _unfit(signature)
    ]
    if found | record != found:
        problems.append(f"entries beyond {', '.join(found)}")
    if problems:
        raise InputError(f"Received a signature with {problems[0]}.")
    return signature


def _unfit(signature):
    """Entries that do not go with others, and what was expected of them."""
    size, patterns = signature.size, len(signature.patterns)
    variance = signature.noise_variance
    for name, lengths in (
        ("components", (0, size)),
        ("units", (1, size)),
        ("transforms", (1, size)),
        ("space", range(RANK + 1)),
        ("spacing", (len(signature.space),)),
        ("periodic", (len(signature.space),)),
        ("patterns", (0, 1, size)),
        ("low", (patterns,)),
        ("high", (patterns,)),
        ("covariates", range(MOST)),
    ):
        length = len(getattr(signature, name))
        if length not in lengths or length > MOST:
            yield name, "as many as there are components or dimensions, or one for all"
    if isinstance(variance, tuple) and len(variance) != size:
        yield "noise_variance", f"one number, or {size}"
    if len(set(signature.components)) < len(signature.components):
        yield "components", "different names"
    if 0.0 in signature.spacing:
        yield "spacing", "numbers that are not 0"
    if signature.overlap >= signature.window:
        yield "overlap", "fewer steps than of a window"
    if not all(pattern.consistent for pattern in signature.patterns):
        yield "patterns", "phases below the spacing, and the least of a number before the most"
