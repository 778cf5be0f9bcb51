"""Maps by method, beside what was observed: what figures and pages of them show, and its labels."""

import textwrap
from collections.abc import Mapping

import numpy as np

from tf4dvar.data.grid import Grid
from tf4dvar.data.layout import TRUTH
from tf4dvar.errors import InputError

Mapped = Mapping[str, np.ndarray]
"""Maps by the label of their method, each [member, time, y, x]."""

OBSERVATIONS = "observations"
DAY = np.timedelta64(1, "D")
# Of a label, in a line beside a map.
LETTERS = 26


def all_maps(
    states: Mapped,
    observations: np.ndarray,
    truth: np.ndarray | None,
    grid: Grid,
    times: np.ndarray,
) -> Mapped:
    """Truth, where it is known, observations and states, in this order.

    Args:
        states: maps by method.
        observations: [member, time, y, x], NaN = not observed.
        truth: the same, NaN where unknown, or None.
        grid: of the maps.
        times: [time], dates (`datetime64`) or days.

    Raises:
        InputError: there are no states, shapes differ, or a time stands twice.

    Usage:

        from tf4dvar.data.grid import Grid
    from tf4dvar.data.layout import TRUTH
        from tf4dvar.evaluation.mapped import all_maps

        maps = np.zeros((1, 2, 3, 4))
        grid = Grid(np.arange(3.0), np.arange(4.0))
        assert [*all_maps({"oi": maps}, maps, None, grid, np.arange(2.0))] == ["observations", "oi"]
    """
    if not states:
        raise InputError("Received no states of any method; expected some to show.")
    known = {} if truth is None else {TRUTH: truth}
    shown = {**known, OBSERVATIONS: observations, **states}
    if len(shown) < len(known) + 1 + len(states):
        raise InputError(
            f"Received methods of the labels {', '.join(states)}; expected others than "
            f"{TRUTH} and {OBSERVATIONS}."
        )
    check_shapes(shown, grid, times)
    return shown


def check_shapes(maps: Mapped, grid: Grid, times: np.ndarray) -> None:
    """Refuse maps that do not fit to each other, to the grid or to the times.

    Args:
        maps: by label.
        grid: of the maps.
        times: [time].

    Raises:
        InputError: so it is, or a time stands twice.
    """
    members = next(iter(maps.values())).shape[:1]
    expected = *members, len(times), *grid.shape
    for label, values in maps.items():
        if values.shape != expected or not members[0]:
            raise InputError(
                f"Received maps {label!r} of shape {values.shape}, {len(times)} times and a grid "
                f"of {grid.shape}; expected [member, time, y, x] of these, as many members of all."
            )
    if len(np.unique(times)) < len(times):
        raise InputError("Received times some of which stand there twice.")


def days_of(times: np.ndarray) -> np.ndarray:
    """Times as days: dates since the first of them.

    Args:
        times: [time], dates (`datetime64`) or days.
    """
    return (times - times[0]) / DAY if times.dtype.kind == "M" else times.astype("float64")


def time_labels(times: np.ndarray) -> list[str]:
    """Times for readers: dates, with hours where there are some, or days.

    Args:
        times: [time], dates (`datetime64`) or days.

    Usage:

        from tf4dvar.evaluation.mapped import time_labels

        assert time_labels(np.array(["2012-10-03"], "M8[ns]")) == ["2012-10-03"]
        assert time_labels(np.array([0.0, 0.5])) == ["day 0", "day 0.5"]
    """
    if times.dtype.kind == "M":
        whole = (times == times.astype("M8[D]")).all()
        return [str(each) for each in np.datetime_as_string(times, unit="D" if whole else "s")]
    return [f"day {each:.15g}" for each in times]


def wrapped(label: str) -> str:
    """A label in lines as wide as a map.

    Args:
        label: it.
    """
    return textwrap.fill(label, LETTERS)


def plain(text: str) -> str:
    """A text from outside as it is; Matplotlib would set what stands between two $ as a formula.

    Args:
        text: it.
    """
    return text.replace("$", r"\$")
