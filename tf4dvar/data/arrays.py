"""Arrays of every kind, at the door, as NumPy's with NaN for what is missing."""

from typing import Any

import numpy as np
import xarray as xr


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


def as_dataset(source: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """A data set; of an array, that of one variable, `observations` where it has no name.

    Args:
        source: it.
    """
    if isinstance(source, xr.DataArray):
        return source.to_dataset(name=source.name or "observations")
    return source


def float_of(dtype: np.dtype) -> np.dtype:
    """The floating-point type that holds a type's numbers, in this machine's order of bytes.

    Args:
        dtype: of numbers.
    """
    single = dtype.itemsize <= 2 or (dtype.kind == "f" and dtype.itemsize == 4)
    return np.dtype("float32" if single else "float64")
