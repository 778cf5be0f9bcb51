"""The variance of the observations' errors, where a data set tells it of each of them."""

import numpy as np
import xarray as xr

from tf4dvar.errors import InputError

VARIANCES = ("noise_variance", "observation_variance")
"""Names of the variable beside the observations."""


def noise_variance_of(dataset: xr.Dataset) -> xr.DataArray | None:
    """The variance of the observations' errors, shaped as they are, if the data set has it.

    Args:
        dataset: the data set; the variable `noise_variance` or `observation_variance` has the
            dimensions of `observations`, or some of them. NaN where it is not known.

    Raises:
        InputError: it has others, or is not positive where something is observed.
    """
    observations = dataset["observations"]
    for name in {*VARIANCES} & set(dataset.data_vars):
        variance = dataset[name]
        if not set(variance.dims) <= set(observations.dims) or variance.dtype.kind not in "iuf":
            raise InputError(
                f"{name!r} has the dimensions {variance.dims} and the type {variance.dtype}; "
                f"expected numbers on some of {observations.dims}."
            )
        variance = variance.broadcast_like(observations).transpose(*observations.dims)
        known = variance.values[np.isfinite(observations.values)]
        wrong = known[(known <= 0) | np.isinf(known)]
        if wrong.size:
            raise InputError(
                f"Received the {name} {wrong[0]:g} of an observation; expected positive, finite "
                "numbers, in squared units of the observations."
            )
        return variance
    return None
