"""Arrays of every kind, at the door, as NumPy's with NaN for what is missing."""

from typing import Any

import numpy as np


def as_array(values: Any) -> Any:
    """NumPy's array of anything that has one; what is masked is NaN.

    So xarray's, dask's and TensorFlow's arrays, and the masked ones that netCDF4 gives, are looked
    at and worked on as NumPy's are.

    Args:
        values: an array of any library; anything else, as a pipeline, is returned as it is.
    """
    if not hasattr(values, "__array__") or getattr(values, "dtype", None) is None:
        return values
    array = np.asanyarray(values)
    if not isinstance(array, np.ma.MaskedArray):
        return array
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype("float64")
    return array.filled(np.nan)
