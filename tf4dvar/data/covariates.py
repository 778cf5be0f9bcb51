"""What forces the dynamics and is known in time: the covariates of a data set."""

import logging
from collections.abc import Sequence

import numpy as np
import xarray as xr

from tf4dvar.data.arrays import float_of
from tf4dvar.errors import InputError

logger = logging.getLogger(__name__)

COVARIATES, COVARIATE = "covariates", "covariate"
"""Name of the variable, and of the dimension along which their names are the coordinate."""
DIMS = ("window", "time", COVARIATE)


def covariates_of(
    dataset: xr.Dataset, names: Sequence[str], dims: tuple[str, ...] = DIMS
) -> np.ndarray | None:
    """The covariates of a data set, [window, time, covariate]; None if none are asked for.

    Args:
        dataset: with the variable `covariates`.
        names: in which order; a data set without the coordinate `covariate` has them so.
        dims: of what is returned.

    Raises:
        InputError: there are others, or some are not finite.
    """
    if not names:
        return None
    found = dataset.get(COVARIATES)
    if found is None or set(found.dims) != {*dims}:
        raise InputError(
            f"The dynamics depend on {', '.join(names)}, known in time: expected a variable "
            f"`{COVARIATES}` with the dimensions {dims} in the data set."
        )
    if COVARIATE in found.coords:
        labels = names_of(dataset)
        if missing := set(names) - set(labels):
            raise InputError(
                f"The data set has the covariates {', '.join(labels)}; the dynamics need "
                f"{', '.join(sorted(missing))}, too."
            )
        found = found.sel({COVARIATE: list(names)})
    values = found.transpose(*dims).values.astype("float64")
    if values.shape[-1] != len(names) or not np.isfinite(values).all():
        raise InputError(
            f"Received covariates of shape {values.shape}, {np.isnan(values).sum()} of them NaN; "
            f"expected {', '.join(names)} at every time, none missing."
        )
    return values


def has_some(dataset: xr.Dataset) -> bool:
    """Whether a data set has covariates; another variable may have their name.

    Args:
        dataset: it.
    """
    return COVARIATES in dataset.data_vars and COVARIATE in dataset[COVARIATES].dims


def names_of(dataset: xr.Dataset) -> tuple[str, ...]:
    """The names of a data set's covariates, their numbers where they have none.

    Args:
        dataset: with the variable `covariates` or without.
    """
    if not has_some(dataset):
        return ()
    return tuple(str(each) for each in dataset[COVARIATES][COVARIATE].values)


def gathered(dataset: xr.Dataset, names: Sequence[str], time: str) -> xr.DataArray:
    """Variables of a series that are known in time as one, [time, covariate].

    Args:
        dataset: of one's own file.
        names: of the variables.
        time: the dimension of time.

    Raises:
        InputError: one is not there, or has other dimensions than time.
    """
    columns = []
    for name in names:
        if name not in dataset.variables:
            raise InputError(
                f"Received the covariate {name!r}; expected some of "
                f"{sorted(map(str, dataset.variables))}."
            )
        column = dataset[name].squeeze(drop=True)
        if column.dims != (time,) or column.dtype.kind not in "fiu":
            raise InputError(
                f"The covariate {name!r} has the dimensions {dict(dataset[name].sizes)} and the "
                f"type {column.dtype}; expected numbers over {time!r} alone."
            )
        columns.append(column.astype(float_of(column.dtype)).variable)
    values = xr.Variable.concat(columns, COVARIATE).transpose(time, COVARIATE)
    return xr.DataArray(values, {COVARIATE: list(names)})


def without_gaps(covariates: xr.DataArray, known: int) -> xr.DataArray:
    """Covariates at all times: between those at which they are known they are linear.

    Args:
        covariates: [time, covariate], regular in time.
        known: number of times that the data have.

    Raises:
        InputError: one is not known at the first or the last time.
    """
    values = covariates.values.astype("float64")
    names = [str(each) for each in covariates[COVARIATE].values]
    rows = np.arange(len(values))
    for name, column in zip(names, values.T, strict=True):
        there = np.isfinite(column)
        if not (there[0] and there[-1]):
            raise InputError(
                f"The covariate {name!r} is not known at the first or the last of the "
                f"{len(values)} times; expected it from one to the other. Give it there, or cut "
                "the data to where it is."
            )
        if there.sum() < known:
            logger.warning(
                "The covariate %r is not known at %d of %d times; it is taken to be linear there.",
                name,
                known - there.sum(),
                known,
            )
        column[~there] = np.interp(rows[~there], rows[there], column[there])
    return covariates.copy(data=values)


def without(dataset: xr.Dataset) -> xr.Dataset:
    """A data set without covariates, as states have none.

    Args:
        dataset: with some or without.
    """
    if not has_some(dataset):
        return dataset
    return dataset.drop_vars([COVARIATES, COVARIATE], errors="ignore")
