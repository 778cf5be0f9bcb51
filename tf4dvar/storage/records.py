"""JSON records beside models and trainings, which may be damaged."""

import json
import math
from pathlib import Path
from typing import Any

from tf4dvar.errors import InputError, shown
from tf4dvar.storage import atomic_path, open_regular

NUMBER = (int, float)
# Bytes, many times those of any record.
LARGEST = 2**24


def read_record(
    path: Path, form: dict[str, Any], optional: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Read a JSON object and check the entries that its reader relies on.

    Args:
        path: the file.
        form: the entries it must have: types by name, or forms of objects inside.
        optional: the same of entries that it may have.

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
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: it is no JSON ({error}).") from error
    _check(record, form, path, "")
    there = {name: inner for name, inner in (optional or {}).items() if name in record}
    _check(record, there, path, "")
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


def _check(value, form, path, name):
    types = dict if isinstance(form, dict) else form
    # A boolean is an integer to Python alone.
    boolean = isinstance(value, bool) and types is not bool
    if boolean or not isinstance(value, types):
        expected = types if isinstance(types, tuple) else (types,)
        raise InputError(
            f"{path} is damaged: {name or 'it'} is {shown(value)}; "
            f"expected {' or '.join(each.__name__ for each in expected)}."
        )
    if isinstance(form, dict):
        for key, inner in form.items():
            if key not in value:
                raise InputError(
                    f"{path} is damaged: it has no entry {name}{'.' * bool(name)}{key}."
                )
            _check(value[key], inner, path, f"{name}.{key}".lstrip("."))
