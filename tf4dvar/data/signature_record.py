"""A signature in JSON's types, and back from a record that anybody may have written."""

import math
from dataclasses import MISSING, asdict, fields
from typing import Any

from tf4dvar.data.patterns import PHASES, Pattern, Range
from tf4dvar.errors import InputError, shown

# Characters of a name, dimensions of space, and numbers of each kind; no data have more.
LETTERS, RANK, MOST = 1000, 8, 2**16


def written(signature: Any) -> dict[str, Any]:
    """A `Signature` in JSON's types.

    Args:
        signature: it.
    """
    return _plain(asdict(signature))


def read(kind: type[Any], record: Any) -> Any:
    """The signature of a record.

    Args:
        kind: `Signature`.
        record: of `written`, or anything else.

    Raises:
        InputError: it is no record of a signature.
    """
    values = _entries(kind, record, "a signature")
    size = _whole(values["size"], "size", 1, 2**31 - 1)
    components = _list(values["components"], "components", _text, (0, size))
    if len(set(components)) < len(components):
        raise _wrong("components", components, "different names")
    patterns = _list(values["patterns"], "patterns", _pattern, (0, 1, size))
    told = (len(patterns),)
    space = _list(values["space"], "space", _text)
    if len(space) > RANK:
        raise _wrong("space", space, f"{RANK} dimensions at most")
    places = (len(space),)
    variance = values["noise_variance"]
    if isinstance(variance, list):
        variance = _list(variance, "noise_variance", _positive, (size,))
    elif variance is not None:
        variance = _positive(variance, "noise_variance")
    step, window = values["time_step"], _whole(values["window"], "window", 1)
    return kind(
        components=components,
        size=size,
        units=_list(values["units"], "units", _text, (1, size)),
        transforms=_list(values["transforms"], "transforms", _text_or_none, (1, size)),
        time=_text(values["time"], "time"),
        time_step=None if step is None else _positive(step, "time_step"),
        time_units=_text(values["time_units"], "time_units"),
        space=space,
        spacing=_list(values["spacing"], "spacing", _spacing, places),
        periodic=_list(values["periodic"], "periodic", _boolean, places),
        low=_list(values["low"], "low", _number_or_none, told),
        high=_list(values["high"], "high", _number_or_none, told),
        noise_variance=variance,
        covariates=_list(values["covariates"], "covariates", _text),
        patterns=patterns,
        window=window,
        overlap=_whole(values["overlap"], "overlap", 0, window - 1),
    )


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _entries(kind, record, what):
    names = {field.name for field in fields(kind)}
    # What an earlier version did not write is as by default.
    defaults = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
    if isinstance(record, dict):
        record = _plain(defaults) | record
    if not isinstance(record, dict) or set(record) != names:
        found = sorted(map(str, record)) if isinstance(record, dict) else record
        raise InputError(
            f"Received {shown(found)} for {what}; expected the entries {', '.join(sorted(names))}."
        )
    return record


def _pattern(record, name):
    values = _entries(Pattern, record, "a pattern")
    phases = _list(values["phases"], "phases", _count)
    spacing = _whole(values["spacing"], "spacing", 1)
    if len(phases) > PHASES or any(phase >= spacing for phase in phases):
        raise _wrong("phases", phases, f"{PHASES} numbers at most, below {spacing}")
    return Pattern(
        _whole(values["windows"], "windows", 1),
        _whole(values["values"], "values", 0, 2**62),
        spacing,
        phases,
        _range(values["share"], "share"),
        *(_range_or_none(values[each], each) for each in ("gap", "distance", "farthest")),
    )


def _range_or_none(record, name):
    return None if record is None else _range(record, name)


def _range(record, name):
    numbers = Range(*_list(record, name, _not_negative, (len(Range._fields),)))
    if numbers.least > numbers.most:
        raise _wrong(name, record, "the least before the most")
    return numbers


def _list(value, name, each, lengths=range(MOST)):
    if not isinstance(value, list) or len(value) not in lengths or len(value) > MOST:
        raise _wrong(name, value, "a list of as many as there are components, or of one for all")
    return tuple(each(element, name) for element in value)


def _text(value, name):
    if not isinstance(value, str) or len(value) > LETTERS:
        raise _wrong(name, value, f"a text of {LETTERS} letters at most")
    return value


def _text_or_none(value, name):
    return None if value is None else _text(value, name)


def _boolean(value, name):
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def _whole(value, name, least=0, most=2**31 - 1):
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(name, value, f"a whole number from {least} to {most}")
    return value


def _count(value, name):
    return _whole(value, name)


def _number(value, name):
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, value, "a number")
    if abs(value) > 1e300 or not math.isfinite(value):
        raise _wrong(name, value, "a finite number")
    return float(value)


def _number_or_none(value, name):
    return None if value is None else _number(value, name)


def _not_negative(value, name):
    number = _number(value, name)
    if number < 0:
        raise _wrong(name, value, "a number of at least 0")
    return number


def _positive(value, name):
    number = _number(value, name)
    if number <= 0:
        raise _wrong(name, value, "a positive number")
    return number


def _spacing(value, name):
    number = _number_or_none(value, name)
    if number == 0:
        raise _wrong(name, value, "a number that is not 0")
    return number


def _wrong(name, value, expected):
    return InputError(f"Received a signature whose {name} is {shown(value)}; expected {expected}.")
