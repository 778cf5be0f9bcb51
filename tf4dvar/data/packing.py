"""How the values of a variable are stored: its type, scale, offset and fill value."""

import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tf4dvar.data.conventions import in_valid_range

# Attributes in packed numbers; the first two tell missing values.
OF_PACKED = ("missing_value", "_Unsigned", "valid_min", "valid_max", "valid_range")


@dataclass(frozen=True)
class Packing:
    """The storage of a variable, by the conventions of CF.

    Args:
        name: of the variable.
        dims: in their order.
        attrs: its attributes, but for those of the encoding.
        encoding: `dtype`, `scale_factor`, `add_offset`, `_FillValue` and others, as of xarray.
    """

    name: Hashable
    dims: tuple[Hashable, ...]
    attrs: dict[str, Any]
    encoding: dict[str, Any]

    @classmethod
    def of(cls, name: Hashable, variable: xr.Variable) -> "Packing":
        """The storage of a variable as it was read; one made in memory is stored as it is.

        Args:
            name: of the variable.
            variable: it; its values are not read.
        """
        # A variable that was not read, and has whole numbers, gets states that are none.
        dtype = np.result_type(variable.dtype, np.float32)
        encoding = {"dtype": dtype, "_FillValue": None} | variable.encoding
        return cls(name, variable.dims, *with_one_fill_value(variable.attrs, encoding))

    @property
    def dtype(self) -> np.dtype:
        """The type of the stored numbers."""
        return np.dtype(self.encoding["dtype"])

    def encoded(self, values: xr.Variable) -> xr.Variable:
        """Values as they are stored, with all attributes.

        Args:
            values: with these dims, in physical units; NaN where there are none.
        """
        # In double precision, in which packed numbers and fill values as 1e20 are exact.
        values = values.transpose(*self.dims).astype("float64")
        decoded = xr.Variable(self.dims, values.data, self.attrs, self.encoding)
        with _quiet():
            encoded = xr.conventions.encode_cf_variable(decoded, name=self.name)
        return xr.Variable(self.dims, encoded.data, encoded.attrs)

    def misfits(self, values: xr.Variable) -> int:
        """How many values would be read as something else, beyond the packing's resolution.

        They are out of the range of the type, or equal to the fill value, or not there where there
        is no fill value.

        Args:
            values: as for `encoded`.
        """
        encoded = self.encoded(values)
        with _quiet():
            read = xr.conventions.decode_cf_variable(
                self.name, encoded, decode_times=False, decode_timedelta=False
            ).values
        step = np.abs(self.encoding.get("scale_factor", 1)) if self.dtype.kind in "iu" else 0
        precision = 1e-6 * np.abs(self.encoding.get("add_offset", 0)) + np.finfo("float32").tiny
        same = np.isclose(read, values, rtol=1e-6, atol=0.51 * step + precision, equal_nan=True)
        return same.size - int(np.count_nonzero(same))

    def invalid(self, values: xr.Variable) -> int:
        """How many values the attributes `valid_min`, `valid_max` and `valid_range` do not allow.

        Args:
            values: as for `encoded`.
        """
        variable = xr.DataArray(values.data, dims=values.dims, name=self.name, attrs=self.attrs)
        variable.encoding = self.encoding
        valid = in_valid_range(variable)
        return 0 if valid is None else int((values.notnull() & ~valid.variable).sum())

    def unpacked(self, dtype: np.dtype) -> "Packing":
        """The same variable stored as plain floating-point numbers, NaN where there are none.

        Args:
            dtype: of the values.
        """
        dtype = np.result_type(dtype, np.float32)  # the format has no half precision
        attrs = {key: value for key, value in self.attrs.items() if key not in OF_PACKED}
        return Packing(self.name, self.dims, attrs, {"dtype": dtype, "_FillValue": np.nan})


def with_one_fill_value(attrs: dict, encoding: dict) -> tuple[dict, dict]:
    """Attributes and encoding of which one fill value is written, and others are kept as they are.

    xarray would give them one type, and refuse several.

    Args:
        attrs, encoding: of a variable as it was read.
    """
    encoding = dict(encoding)
    missing = encoding.get("missing_value")
    if missing is None or (encoding.get("_FillValue") is None and np.ndim(missing) == 0):
        return dict(attrs), encoding
    return attrs | {"missing_value": encoding.pop("missing_value")}, encoding


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of what cannot be stored, which `misfits` counts."""
    with np.errstate(invalid="ignore", over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", xr.SerializationWarning)
        yield
