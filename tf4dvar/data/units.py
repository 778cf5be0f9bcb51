"""Units as files spell them."""

import re
from collections import Counter

# Other spellings; words are read in any case, symbols as they are.
NAMES = {
    "%": ("percent",),
    "K": ("kelvin", "kelvins", "degK", "deg_K", "degree_kelvin", "degrees_kelvin"),
    "degC": ("deg_C", "°C", "celsius", "degree_celsius", "degrees_celsius", "degree_C", "degreeC"),
    "m": ("metre", "metres", "meter", "meters"),
    "km": ("kilometre", "kilometres", "kilometer", "kilometers"),
    "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"),
    "Pa": ("pascal", "pascals"),
    "hPa": ("hectopascal", "hectopascals", "mb", "mbar", "millibar", "millibars"),
    "s": ("sec", "secs", "second", "seconds"),
    "min": ("minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "d": ("day", "days"),
    "1": ("", "-", "none", "dimensionless", "unitless"),
}
_KNOWN = {spelling: name for name, spellings in NAMES.items() for spelling in spellings}
_KNOWN |= {spelling.lower(): name for spelling, name in _KNOWN.items() if len(spelling) > 3}
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Units of time, by the names above."""

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_FACTOR = re.compile(r"([^\W\d]+|%|°\w*)(?:\^|\*\*)?([+-]?\d+)?", re.UNICODE)


def same_units(one: str, other: str) -> bool:
    """Whether two texts are one unit in two spellings: `m s-1` and `m/s`, `degC` and `Celsius`.

    Nothing is converted: K and degC are two units.

    Args:
        one, other: units.
    """
    return one == other or _factors(one) == _factors(other)


def unit_name(unit: str) -> str:
    """The name of a unit of one word, where it is a known one; else as it is.

    Args:
        unit: it.
    """
    word = unit.strip()
    return _KNOWN.get(word) or _KNOWN.get(word.lower() if len(word) > 3 else word, word)


def in_seconds(step: float, unit: str) -> tuple[float, str]:
    """A time in seconds, where its unit is a known one of time; else as it is.

    Args:
        step: the time.
        unit: of it, also as `hours since 2021-01-01`.
    """
    seconds = SECONDS.get(unit_name(unit.split(" since ")[0]))
    return (step, unit) if seconds is None else (step * seconds, "s")


def _factors(unit):
    """The powers of a unit's factors by their names; what is no product is a name as a whole."""
    text = re.sub(r"\b(degrees?)[ _]+(?=[A-Za-z])", r"\1_", unit.strip()).translate(_RAISED)
    powers: Counter[str] = Counter()
    sign = 1
    for word in re.findall(r"/|[^\s/*·.]+(?:\*\*[+-]?\d+)?", text):
        if word == "/":
            sign = -1
            continue
        found = _FACTOR.fullmatch(word)
        name, power = (found[1], int(found[2] or 1)) if found else (word, 1)
        powers[unit_name(name)] += sign * power
        sign = 1
    return {name: power for name, power in powers.items() if power and name != "1"}
