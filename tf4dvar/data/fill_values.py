"""Numbers that stand for a missing value, and were not declared to."""

import logging
from typing import NamedTuple

import numpy as np

from tf4dvar.systems.axes import axes_but

logger = logging.getLogger(__name__)

# Named wherever they are this share of the entries, also among other values.
OFTEN = 0.2
FREQUENT = (0.0, -99.0, -999.0, -9999.0)
# An extreme value that comes so many times is looked at.
REPEATED = 3
# Ranges of all other values that it is away from them, to be one: a number which is known to
# stand for a missing value, and any. Overlapping windows repeat a true extreme, too.
KNOWN, ANY = 0.5, 10.0
# What others there have to be for the latter: few are categories.
VALUES = 10
_NINES = [float("9" * digits) for digits in range(2, 9)] + [99.9, 99.99, 999.9, 9999.9]
_INTEGERS = [127.0, 128.0, 255.0, 32767.0, 32768.0, 65535.0, 2147483647.0, 2147483648.0]
_LARGE = [1e10, 1e15, 1e20, 1e30, 1e33, 1e34, 1e35, 1e36, 1e37, 9.96921e36, 9.969209968386869e36]
SENTINELS = np.unique(
    np.array([s * v for s in (-1, 1) for v in (*_NINES, *_INTEGERS, *_LARGE)]).astype("float32")
)
"""Numbers that stand for a missing value elsewhere, in single precision."""


class FillValue(NamedTuple):
    """A number that seems to mean not observed.

    Attributes:
        component: number of the component that has it.
        value: it.
        share: of the component's entries that are it.
        others: the least and the most of its other values, NaN if there are none.
    """

    component: int
    value: float
    share: float
    others: tuple[float, float]


def fill_values_of(values: np.ndarray) -> list[FillValue]:
    """Numbers that seem to mean not observed.

    That is a number far outside the range of all others and many times there; or 0 or a usual
    fill value that is a fifth of the entries.

    Args:
        values: [..., component], NaN where nothing is known.
    """
    shares: dict[tuple[int, float], float] = {}
    for value in FREQUENT:
        share = np.mean(values == value, axes_but(-1, values))
        shares |= {(int(c), value): float(share[c]) for c in np.flatnonzero(share > OFTEN)}
    rest = values.copy()
    while found := _extremes(rest):
        for component, value, share in found:
            shares[component, value] = share
            column = rest[..., component]
            column[column == value] = np.nan
    return [
        FillValue(component, value, share, _range(rest[..., component], value))
        for (component, value), share in sorted(shares.items())
    ]


def warn_of_fill_values(observations: np.ndarray) -> None:
    """Warn of numbers in the place of NaN; see `fill_values_of`.

    Args:
        observations: [window, time, *space, component].
    """
    by_value: dict[float, list[FillValue]] = {}
    for each in fill_values_of(observations):
        by_value.setdefault(each.value, []).append(each)
    for value, those in by_value.items():
        first, others = those[0], len(those) - 1
        logger.warning(
            "Component %d%s of the observations is exactly %g in %s of the entries%s. If that "
            "means not observed, make it NaN: np.where(observations == %g, np.nan, observations).",
            first.component,
            f" (and {others} others)" if others else "",
            value,
            percent(first.share),
            beside(first),
            value,
        )


def beside(fill: FillValue) -> str:
    """The range of the other values, for a message.

    Args:
        fill: what was found.
    """
    least, most = fill.others
    if np.isnan(least):
        return ""
    return f", its other values are {least:g} to {most:g}"


def percent(share: float) -> str:
    """A share in percent, of two digits at least.

    Args:
        share: it.
    """
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def _extremes(values):
    """Components, values and shares of extremes that are far from all other values."""
    every = axes_but(-1, values)
    known = ~np.isnan(values)
    low = np.where(known, values, np.inf).min(every).astype("float64")
    high = np.where(known, values, -np.inf).max(every).astype("float64")
    counts = [(values == extreme).sum(every) for extreme in (low, high)]
    inner = known
    for extreme, count in zip((low, high), counts, strict=True):
        inner = inner & ((values != extreme) | (count < REPEATED))
    least = np.where(inner, values, np.inf).min(every).astype("float64")
    most = np.where(inner, values, -np.inf).max(every).astype("float64")
    with np.errstate(invalid="ignore"):  # where nothing is known
        spread, distances = most - least, (least - low, high - most)
    size, found = values[..., 0].size, []
    for extreme, count, away in zip((low, high), counts, distances, strict=True):
        alone = (low == high) & (count > OFTEN * size)
        far = (count >= REPEATED) & (spread >= 0) & (away > KNOWN * spread)
        for c in np.flatnonzero(alone | far):
            sentinel = np.float32(extreme[c]) in SENTINELS
            if sentinel or (far[c] and away[c] > ANY * spread[c] and _varies(values, inner, c)):
                found.append((int(c), float(extreme[c]), float(count[c] / size)))
    return [each for number, each in enumerate(found) if each not in found[:number]]


def _varies(values, inner, component):
    """Whether the others are measurements, and not a few categories."""
    others = values[..., component][inner[..., component]]
    return len(np.unique(others[:10_000])) >= VALUES


def _range(values, value):
    known = values[~np.isnan(values) & (values != value)]
    return (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)
