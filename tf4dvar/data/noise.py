"""The variance of the observations' noise, by the errors that lie beside them."""

import re

import xarray as xr

from tf4dvar.data.units import same_units
from tf4dvar.errors import InputError

_VARIANCE = re.compile(r"variance", re.I)
_DEVIATION = re.compile(r"standard[_ ](error|deviation)|std_?dev|std_?err|rms", re.I)
_CELSIUS = re.compile(r"°C|deg_?C|(degrees?[ _])?celsius", re.I)


def variance_of(error: xr.DataArray, variable: xr.DataArray) -> xr.DataArray:
    """The noise variance of a variable by its error, a standard deviation or a variance.

    By the units: those of the variable, or those squared; where they do not tell, by the names.

    Args:
        error: its variable, decoded.
        variable: the observations.

    Returns:
        In units squared; NaN where no error above 0 is known.

    Raises:
        InputError: the units are others, or nothing tells.
    """
    units, of_error = (str(each.attrs.get("units", "")).strip() for each in (variable, error))
    squared = _is_variance(error, variable, units, of_error)
    known = error.where(error > 0)
    variance = known if squared else known**2
    simple = re.fullmatch(r"[^\W\d]+", units)
    described = {"units": f"{units}2" if simple else f"({units})^2"} if units else {}
    variance.attrs, variance.encoding = {"long_name": "noise variance", **described}, {}
    return variance


def _is_variance(error, variable, units, of_error):
    texts = " ".join(
        str(each)
        for each in (error.attrs.get("standard_name"), error.attrs.get("long_name"), error.name)
    )
    by_name = {True: bool(_VARIANCE.search(texts)), False: bool(_DEVIATION.search(texts))}
    deviation, square = _differences(units), _differences(f"{units} {units}")
    if units and of_error and not same_units(deviation, square):
        found = [
            squared
            for squared, expected in ((False, deviation), (True, square))
            if same_units(_differences(of_error), expected)
        ]
        if not found or (by_name[not found[0]] and not by_name[found[0]]):
            raise InputError(
                f"{str(error.name)!r} has the units {of_error!r} and {str(variable.name)!r} has "
                f"{units!r}; expected the same of a standard deviation, or those squared of a "
                "variance. Mend the units or the values."
            )
        return found[0]
    if by_name[True] != by_name[False]:
        return by_name[True]
    raise InputError(
        f"{str(error.name)!r} with the units {of_error!r}, for {str(variable.name)!r} with "
        f"{units!r}, does not tell whether it is a standard deviation or a variance. Give both "
        "their units, or say it in the attribute long_name of the error."
    )


def _differences(units):
    """Units of differences: those of a temperature in degrees Celsius are Kelvin."""
    return _CELSIUS.sub("K", units)
