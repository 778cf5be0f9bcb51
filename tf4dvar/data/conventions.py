"""What axes and variables are, by the CF conventions' attributes and the names in use."""

import re
from collections.abc import Hashable, Mapping

import numpy as np
import xarray as xr

from tf4dvar.errors import InputError, shown

AXES = ("time", "y", "x")
VARIANCE = "_noise_variance"
"""What a variable's name ends with that is the noise variance of the one without."""

MEMBERS = ("member", "realization", "ensemble")
"""Names of a dimension of realisations, beside the standard name `realization`."""

_NAMES = {
    "time": {"time", "t", "times", "date", "datetime", "valid_time", "time_counter"},
    "y": {"lat", "latitude", "y", "nav_lat", "rlat"},
    "x": {"lon", "longitude", "x", "nav_lon", "rlon"},
}
_STANDARD_NAMES = {
    "time": {"time"},
    "y": {"latitude", "projection_y_coordinate", "grid_latitude"},
    "x": {"longitude", "projection_x_coordinate", "grid_longitude"},
}
_LETTERS = {"t": "time", "y": "y", "x": "x"}
_DEGREES = {"y": re.compile(r"degrees?_?n(orth)?"), "x": re.compile(r"degrees?_?e(ast)?")}
_ANGLE = re.compile(r"(nav_|r|grid_)?(lat(itude)?|lon(gitude)?)", re.I)
_FLAG = re.compile(
    r"(^|_)(mask|masks|lsm|flag|flags|quality|qc|qf|status)(_|$)|(land|sea|cloud)mask", re.I
)
_ERROR = re.compile(r"(^|[_ ])(error|errors|err|stderr|uncertainty|variance)([_ ]|$)", re.I)


def axes_of(dataset: xr.Dataset, dims: Mapping[str, str] | None = None) -> dict[Hashable, str]:
    """Which of the axes each dimension of a data set is; those that are none are left out.

    Args:
        dataset: the data set, its times decoded.
        dims: the names of dimensions by their axes, `time`, `y` and `x`, where they tell nothing
            by themselves or something else.
    """
    given = dict(dims or {})
    for axis, name in given.items():
        if axis not in AXES or name not in dataset.dims:
            raise InputError(
                f"Received dims={shown(given)}; expected names of the dimensions "
                f"{sorted(map(str, dataset.dims))} by {', '.join(AXES)}."
            )
    named: dict[Hashable, str] = {name: axis for axis, name in given.items()}
    found = {dim: _axis_of(dataset, dim) for dim in dataset.dims if dim not in named}
    return named | {dim: axis for dim, axis in found.items() if axis and axis not in given}


def is_angle(name: Hashable, coordinate: xr.DataArray) -> bool:
    """Whether it is a latitude or a longitude by its names, degrees where no units are told.

    Args:
        name: of the dimension.
        coordinate: along it.
    """
    names = str(name), str(coordinate.attrs.get("standard_name", ""))
    return any(_ANGLE.fullmatch(each) for each in names)


def _axis_of(dataset, dim):
    """By the coordinate's attributes before its name."""
    if dim in dataset.coords:
        coordinate = dataset[dim]
        attributes = {**coordinate.encoding, **coordinate.attrs}
        letter = str(attributes.get("axis", "")).lower()
        if letter in _LETTERS:
            return _LETTERS[letter]
        standard, units = (str(attributes.get(name, "")) for name in ("standard_name", "units"))
        for axis, names in _STANDARD_NAMES.items():
            if standard in names:
                return axis
        for axis, pattern in _DEGREES.items():
            if pattern.fullmatch(units.strip().lower().replace(" ", "_")):
                return axis
        if coordinate.dtype.kind == "M" or isinstance(dataset.indexes.get(dim), xr.CFTimeIndex):
            return "time"
    return next((axis for axis, names in _NAMES.items() if str(dim).lower() in names), None)


def member_dim(dataset: xr.Dataset) -> str | None:
    """The dimension of realisations, each of which is a series of its own; None without one.

    Args:
        dataset: the data set.

    Raises:
        InputError: there are two, or there is none along it.
    """
    dims = [
        str(dim)
        for dim in dataset.dims
        if dim in MEMBERS
        or (dim in dataset.coords and dataset[dim].attrs.get("standard_name") == "realization")
    ]
    if len(dims) > 1:
        raise InputError(
            f"Received the dimensions {' and '.join(dims)}, each of which is of realisations; "
            "expected one. Select from the others: dataset.isel(...)."
        )
    if dims and not dataset.sizes[dims[0]]:
        raise InputError(f"The dimension {dims[0]!r} of realisations has none; expected some.")
    return dims[0] if dims else None


def first_member(dataset: xr.Dataset) -> xr.Dataset:
    """The first realisation of a data set; all of one without realisations.

    Args:
        dataset: the data set.

    Raises:
        InputError: see `member_dim`.
    """
    dim = member_dim(dataset)
    return dataset if dim is None else dataset.isel({dim: 0}, drop=True)


def is_flag(variable: xr.DataArray) -> bool:
    """Whether a variable looks like a mask or a quality, which is no measurement.

    Args:
        variable: it, with its name.
    """
    standard = str(variable.attrs.get("standard_name", ""))
    return (
        any(name in variable.attrs for name in ("flag_meanings", "flag_values", "flag_masks"))
        or standard.endswith(("status_flag", "quality_flag", "binary_mask"))
        or bool(_FLAG.search(str(variable.name)))
    )


def is_error(variable: xr.DataArray) -> bool:
    """Whether a variable looks like the error of another.

    Args:
        variable: it, with its name.
    """
    standard = str(variable.attrs.get("standard_name", ""))
    return bool(_ERROR.search(str(variable.name))) or "standard_error" in standard


def is_measurement(variable: xr.DataArray) -> bool:
    """Whether a variable is one of numbers, and no mask, quality, error or bounds.

    Args:
        variable: it, with its name.
    """
    return (
        variable.dtype.kind in "fiu"
        and not is_flag(variable)
        and not is_error(variable)
        and not re.search(r"_(bnds|bounds)$", str(variable.name))
    )


def in_valid_range(variable: xr.DataArray) -> xr.DataArray | None:
    """Where the values are those that the attributes allow; None where they allow all.

    Integers are limits of the packed numbers, of a packed variable; else limits are of the values.

    Args:
        variable: it, decoded.
    """
    attributes = variable.attrs
    try:
        least, most = np.ravel(attributes.get("valid_range", (-np.inf, np.inf)))
        limits = [
            _unpacked(np.asarray(attributes.get(name, default)), variable)
            for name, default in (("valid_min", least), ("valid_max", most))
        ]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{str(variable.name)!r} has valid_range, valid_min or valid_max that are no two "
            f"numbers ({error}). Mend the attributes, or remove them."
        ) from error
    slack = abs(float(variable.encoding.get("scale_factor", 0))) / 2  # of decoding in float32
    least, most = limits
    if least > most or not np.isfinite(limits).any():
        return None  # a range that forbids all is a mistake
    return (variable >= least - slack) & (variable <= most + slack)


def _unpacked(limit, variable):
    """A limit as a number of the decoded variable."""
    packing = variable.encoding
    packed = {"scale_factor", "add_offset"} & set(packing)
    if str(packing.get("_Unsigned", "")).lower() == "true" and limit.dtype.kind == "i":
        limit = limit.astype(f"u{limit.dtype.itemsize}")
    number = float(limit.reshape(()))
    if not packed or limit.dtype.kind == "f":
        return number
    return number * float(packing.get("scale_factor", 1)) + float(packing.get("add_offset", 0))
