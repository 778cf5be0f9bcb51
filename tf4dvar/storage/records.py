"""JSON records beside models and trainings, which may be damaged."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec

from tf4dvar.errors import InputError, shown
from tf4dvar.storage import atomic_path, open_regular

# Bytes, many times those of any record.
LARGEST = 2**24


def read_record(path: Path, form: Any) -> dict[str, Any]:
    """Read a JSON object and check the entries that its reader relies on.

    Args:
        path: the file.
        form: the entries that it must have, and those that it may have: a `TypedDict`.

    Returns:
        All its entries, also others.

    Raises:
        InputError: it is no regular file, too large or no JSON, or lacks an entry, or has one of
            another type.
    """
    with open_regular(path) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise InputError(f"{path} is damaged: it has more than {LARGEST} bytes.")
    try:
        record = json.loads(content.decode())
        msgspec.convert(record, form)
    except msgspec.ValidationError as error:
        raise InputError(f"{path} is damaged: {shown(record)}: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: it is no JSON ({error}).") from error
    return record


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all.

    Args:
        path: the file.
        record: what it says.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON, in which a number that is not finite is null: JSON has no NaN.

    Args:
        value: of numbers, texts, lists and dicts.
        indent: of its lines; all on one by default.
    """
    return json.dumps(_without_nan(value), indent=indent, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
