"""Which entries count, by a mask or a quality that lies beside them."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tf4dvar.errors import InputError, shown

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*(.+?)\s*(?:(==|!=|>=|<=|>|<)\s*(\S+?))?\s*")
# Words of `flag_meanings`, and of names, in which a flag says that there is a value or none.
_GOOD = {"sea", "water", "ocean", "open_sea", "open_water", "valid", "good", "clear", "ok"}
_BAD = re.compile(r"land|cloud|bad|invalid|missing|lsm", re.I)


@dataclass(frozen=True)
class Condition:
    """A variable compared with a number, `NAME>=3`, or by itself, `NAME`.

    Attributes:
        name: of the variable.
        comparison: a key of `OPERATORS`; None without.
        number: what is compared with.
    """

    name: str
    comparison: str | None = None
    number: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """The condition that a text says.

        Args:
            text: `NAME`, or NAME, one of `OPERATORS` and a number.
        """
        found = _CONDITION.fullmatch(text)
        try:
            name, comparison, number = found.groups() if found else ("", None, None)
            if not name or any(sign in name for sign in "<>=!"):
                raise ValueError
            return cls(name, comparison, float(number or 0))
        except ValueError:
            raise InputError(
                f"Received the condition {shown(text)}; expected NAME, or NAME, one of "
                f"{' '.join(OPERATORS)} and a number, as in 'quality>=3'."
            ) from None

    def holds(self, dataset: xr.Dataset) -> xr.DataArray:
        """Where the condition is true, and where it is not, as where nothing is known.

        Args:
            dataset: it has the variable.

        Raises:
            InputError: it has not, or the variable alone does not say what counts.
        """
        if self.name not in dataset.variables:
            raise InputError(
                f"Received the condition of {self.name!r}; expected one of the variables "
                f"{sorted(map(str, dataset.variables))}."
            )
        variable = dataset[self.name]
        if variable.dtype.kind not in "fiub":
            raise InputError(
                f"{self.name!r} has the type {variable.dtype}; expected numbers to compare."
            )
        if self.comparison:
            holds = OPERATORS[self.comparison](variable, self.number)
        else:
            holds = _by_meaning(variable)
        return (holds & variable.notnull()).reset_coords(drop=True).rename(self.name)


def _by_meaning(variable):
    """Where a mask says that there is a value: by its flags, else where it is not 0."""
    attributes = variable.attrs
    meanings = str(attributes.get("flag_meanings", "")).split()
    values = np.atleast_1d(attributes.get("flag_values", attributes.get("flag_masks", ())))
    by_bits = "flag_masks" in attributes and "flag_values" not in attributes
    good = [meaning.lower() in _GOOD for meaning in meanings]
    if any(good) and len(values) == len(meanings) and not by_bits:
        return variable.isin(values[good])
    unclear = meanings or _BAD.search(f"{variable.name} {attributes.get('standard_name', '')}")
    if unclear:
        told = f" of the flags {meanings} = {values.tolist()}" if meanings else ""
        raise InputError(
            f"{str(variable.name)!r}{told} does not say by itself where the values count; "
            f"compare it with a number: '{variable.name}==1'."
        )
    return variable != 0
