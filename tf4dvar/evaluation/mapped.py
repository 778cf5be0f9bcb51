"""Maps by method, beside what was observed: what figures and pages of them show, and its labels."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tf4dvar.data.grid import Grid
from tf4dvar.data.layout import TRUTH
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import Quantity, Scale, state_scale

Mapped = Mapping[str, np.ndarray]
"""Maps by the label of their method, each [member, time, y, x]."""

OBSERVATIONS = "observations"
DAY = np.timedelta64(1, "D")
# Of a label, in a line beside a map.
LETTERS = 26


@dataclass(frozen=True)
class Maps:
    """Maps of methods beside what was observed, and what they are of.

    Attributes:
        states: maps by method, [member, time, y, x].
        observations: the same, NaN = not observed.
        truth: the same, NaN where unknown; without it there are no errors.
        grid: of the maps, with its land.
        quantity: that they are of.
        times: [time], dates (`datetime64`) or days.
        member: which one is shown.

    Raises:
        InputError: there are no states, shapes differ, or a time stands twice.

    Usage:

        from tf4dvar.data.grid import Grid
        from tf4dvar.evaluation.colours import Quantity
        from tf4dvar.evaluation.mapped import Maps

        values = np.zeros((1, 2, 3, 4))
        grid, height = Grid(np.arange(3.0), np.arange(4.0)), Quantity("height", "m")
        maps = Maps({"oi": values}, values, None, grid, height, np.arange(2.0))
        assert [*maps.shown] == ["observations", "oi"]
    """

    states: Mapped
    observations: np.ndarray
    truth: np.ndarray | None
    grid: Grid
    quantity: Quantity
    times: np.ndarray
    member: int = 0

    def __post_init__(self) -> None:
        if not self.states:
            raise InputError("Received no states of any method; expected some to show.")
        if {TRUTH, OBSERVATIONS} & {*self.states}:
            raise InputError(
                f"Received methods of the labels {', '.join(self.states)}; expected others than "
                f"{TRUTH} and {OBSERVATIONS}."
            )
        check_shapes(self.shown, self.grid, self.times)

    @property
    def shown(self) -> Mapped:
        """Truth, where it is known, observations and states, in this order."""
        known = {} if self.truth is None else {TRUTH: self.truth}
        return {**known, OBSERVATIONS: self.observations, **self.states}

    @property
    def errors(self) -> Mapped:
        """Of the states; none where there is no truth."""
        if self.truth is None:
            return {}
        return {label: state - self.truth for label, state in self.states.items()}

    @property
    def scale(self) -> Scale:
        """The colours of states, of all days, for figures of different days to be compared."""
        return state_scale(self.quantity, self.observations if self.truth is None else self.truth)


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
