"""One's own files as data sets of observations, NaN where nothing was observed."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from tf4dvar.data.arrays import float_of
from tf4dvar.data.conventions import (
    VARIANCE,
    first_member,
    in_valid_range,
    is_error,
    is_flag,
)
from tf4dvar.data.covariates import COVARIATE, COVARIATES, gathered
from tf4dvar.data.fill_values import fill_values_of, percent
from tf4dvar.data.flags import Condition
from tf4dvar.data.layout import COMPONENT, HELD, Layout
from tf4dvar.data.multi_index import with_multi_indexes
from tf4dvar.data.noise import variance_of
from tf4dvar.data.noise_variance import VARIANCES
from tf4dvar.data.stores import Source, open_source, readable
from tf4dvar.data.time_axis import Step, binned
from tf4dvar.errors import InputError, shown

logger = logging.getLogger(__name__)

# Entries of a variable that a look at its values takes, times evenly drawn.
LOOK = 2**22


def open_data(
    source: Source,
    variables: Sequence[str] | None = None,
    *,
    mask: str | None = None,
    quality: str | None = None,
    error: str | Mapping[str, str] | None = None,
    covariates: Sequence[str] = (),
    dims: Mapping[str, str] | None = None,
    time_step: Step | None = None,
) -> xr.Dataset:
    """Observations of whatever xarray opens, in the form that they have there.

    Dimensions, of which one may be of members, their order and direction, coordinates, attributes
    and packing stay; values are floating-point numbers, NaN where a fill value, the valid range,
    the mask or the quality says that there is none. They are read when they are asked for, where
    dask is installed.

    Args:
        source: a NetCDF file, a zarr store, a glob or a list of them; a data set or an array.
        variables: names of those wanted; by default all measurements that have time and, of
            those, the most dimensions of space. Of a file of windows, or with their `truth`,
            `observations`.
        mask: `NAME` of a variable that is not 0, or whose flag says sea, where there is a value;
            or a condition of it, `NAME==1`. Where it never holds, as on land, no state is given
            back; it becomes a boolean coordinate of its name.
        quality: a condition, `NAME>=3`.
        error: `NAME` of the standard deviation or the variance of the noise, by its units; for
            several variables the names by theirs. It becomes `VARIABLE_noise_variance`.
        covariates: names of variables of time alone that are known and force the others; they
            become the variable `covariates`.
        dims: names of dimensions by their axes, `time`, `y` and `x`, where attributes and usual
            names do not tell.
        time_step: of a regular grid on which irregular observations are put; see `binned`.

    Raises:
        InputError: it cannot be read, or does not say what it is asked for.
    """
    dataset = with_multi_indexes(open_source(source))
    conditions = _conditions(mask, quality)
    beside = {each.name for each in conditions.values()} | {*_names_of(error), *covariates}
    others = dataset.drop_vars(beside & set(dataset.data_vars))
    layout = Layout.of(first_member(dataset if variables else others), dims, variables)
    names = [layout.held] if layout.held else list(layout.variables)
    errors = _errors(dataset, names, error)
    # Of true states beside observations the variances say nothing.
    known = {*errors.values(), *(VARIANCES if names[0] in HELD else ())}
    _point_out_unused(dataset, names, beside | known)
    found = {name: _cleaned(dataset[name]) for name in names}
    holds = {option: condition.holds(dataset) for option, condition in conditions.items()}
    for condition in holds.values():
        found = {name: _where(each, condition) for name, each in found.items()}
    variances = {name: variance_of(_cleaned(dataset[e]), found[name]) for name, e in errors.items()}
    # What has no known error cannot be weighed.
    found |= {name: _where(found[name], variance.notnull()) for name, variance in variances.items()}
    with readable(shown(source) if isinstance(source, str | list) else "the data set", "CF data"):
        for variable in found.values():
            _look_at(variable, layout)
    if covariates:
        found[COVARIATES] = gathered(dataset, covariates, layout.time)
    for name, variance in variances.items():
        variance = variance.broadcast_like(found[name]).transpose(*found[name].dims)
        found[f"{name}{VARIANCE}"] = variance
    domain = _domain(holds.get("mask"), layout)
    result = dataset.drop_vars([*dataset.data_vars, *(set(domain) & set(dataset.coords))])
    # Without their coordinates, which are there.
    result = result.assign({name: each.variable for name, each in found.items()})
    result = result.assign_coords({COVARIATE: list(covariates)} if covariates else {})
    result = result.assign_coords({name: each.variable for name, each in domain.items()})
    return result if time_step is None else binned(result, layout.time, time_step)


def _conditions(mask, quality):
    given = {"mask": mask, "quality": quality}
    found = {option: Condition.parse(text) for option, text in given.items() if text is not None}
    if "quality" in found and not found["quality"].comparison:
        raise InputError(
            f"Received quality={quality!r}; expected what it has to be, as '{quality}>=3'."
        )
    return found


def _names_of(error):
    return [error] if isinstance(error, str) else list((error or {}).values())


def _errors(dataset, names, error):
    """Names of errors by those of the variables."""
    if error is None:
        # A file of this package's says by itself what they are.
        own = COMPONENT in dataset[names[0]].dims or names[0] == HELD[0]
        found = [name for name in VARIANCES if own and name in dataset]
        return {names[0]: found[0]} if found else {}
    if isinstance(error, str):
        if len(names) > 1:
            raise InputError(
                f"Received error={error!r} for the variables {shown(names)}; expected the names "
                f"of the errors by theirs: error={{{names[0]!r}: {error!r}}}."
            )
        error = {names[0]: error}
    unknown = [*(set(error) - set(names)), *(set(error.values()) - set(dataset.variables))]
    if unknown:
        raise InputError(
            f"Received the errors {shown(dict(error))}, {unknown[0]!r} of which is not there; "
            f"expected names of {sorted(map(str, dataset.variables))} by those of {names}."
        )
    return dict(error)


def _point_out_unused(dataset, names, used):
    """Say which masks and errors lie beside the variables and are not used."""
    dims = set().union(*(dataset[name].dims for name in names))
    for name in dataset.variables:
        beside = dataset[name]
        within = beside.ndim and set(beside.dims) <= dims and beside.dtype.kind in "fiub"
        if not within or name in used or name in names:
            continue
        if is_flag(beside):
            option = f"mask={str(name)!r} or quality='{name}>=...'"
        elif is_error(beside):
            option = f"error={str(name)!r}"
        else:
            continue
        logger.warning(
            "%r lies beside %s and is not used. If it says which values count, or how well they "
            "are known, name it: %s.",
            str(name),
            " and ".join(map(repr, names)),
            option,
        )


def _cleaned(variable):
    """A variable as floating-point numbers, NaN outside its valid range."""
    values = variable.astype(float_of(variable.dtype))
    valid = in_valid_range(variable)
    return _as(variable, values if valid is None else values.where(valid))


def _where(variable, condition):
    """A variable where a condition holds; else NaN."""
    levels = {d: 0 for d in condition.dims if d not in variable.dims and condition.sizes[d] == 1}
    condition = condition.isel(levels, drop=True)
    if not set(condition.dims) <= set(variable.dims):
        raise InputError(
            f"{str(condition.name)!r} has the dimensions {condition.dims}; expected some of "
            f"{variable.dims}, those of {str(variable.name)!r}."
        )
    return _as(variable, variable.where(condition))


def _as(variable, values):
    values = values.transpose(*variable.dims)
    values.attrs, values.encoding = variable.attrs, variable.encoding
    return values


def _domain(mask, layout):
    """Where in space a mask holds at some time, as a coordinate."""
    if mask is None or not set(mask.dims) & set(layout.space):
        return {}
    within = mask.any(set(mask.dims) - set(layout.space)).load()
    within.attrs = {"long_name": "within the domain"}
    return {mask.name: within}


def _look_at(variable, layout):
    """Warn of undeclared fill values, and of a variable without any value."""
    times, one = variable.sizes[layout.time], max(variable.size // variable.sizes[layout.time], 1)
    some = max(LOOK // one // 3, 1)
    middle = max(times // 2 - some // 2, some)
    ranges = (range(min(some, times)), range(middle, middle + some), range(times - some, times))
    chosen = sorted({i for each in ranges for i in each if 0 <= i < times})
    values = variable.isel({layout.time: chosen})
    labels = [str(variable.name)]
    if layout.held:
        values, labels = values.transpose(..., COMPONENT), list(layout.variables)
    array = np.asarray(values).reshape(-1, len(labels))
    if not np.isfinite(array).any():
        logger.warning(
            "%r has no value in the %d entries looked at, %s of them all. Look at its mask, "
            "quality, valid range and fill values.",
            str(variable.name),
            array.size,
            percent(array.size / max(variable.size, 1)),
        )
    scale, offset = (
        float(variable.encoding.get(name, default))
        for name, default in (("scale_factor", 1), ("add_offset", 0))
    )
    packed = (scale, offset) != (1, 0)
    for fill in fill_values_of(np.rint((array - offset) / scale) if packed else array):
        least, most = (scale * limit + offset for limit in fill.others)
        logger.warning(
            "%r is %s%g in %s of the entries%s. If that means not observed, say so by its "
            "attribute missing_value = %g.",
            labels[fill.component],
            "the packed number " if packed else "exactly ",
            fill.value,
            percent(fill.share),
            "" if np.isnan(least) else f", its other values are {least:g} to {most:g}",
            fill.value,
        )
