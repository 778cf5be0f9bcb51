"""Where the points of a field lie, and how far they are from each other."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from tf4dvar.data.conventions import is_angle
from tf4dvar.data.stacked import PERIOD, dims_of
from tf4dvar.data.units import unit_name
from tf4dvar.errors import InputError, shown

EARTH_RADIUS = 6371.0
"""Of the sphere of longitudes and latitudes, km."""
KILOMETRES = {"m": 1e-3, "km": 1.0}


@dataclass(frozen=True)
class Grid:
    """A grid of rows and columns, on a plane or on the sphere.

    Attributes:
        y, x: coordinates of rows and of columns, km; on the sphere latitudes and longitudes,
            degrees.
        spherical: whether it is on the sphere.
        periods: after which the field repeats in y and in x, km; None where it does not. On the
            sphere longitudes are a circle by themselves.
        land: [y, x], True where there is no field; None where there is one everywhere.

    Raises:
        InputError: a coordinate is missing, stands twice or is out of bounds, all is land, or
            shapes do not fit.

    Usage:

        from tf4dvar.data.grid import Grid

        grid = Grid(np.arange(3.0), np.arange(4.0), periods=(3.0, 4.0))
        assert grid.positions.shape == (3, 4, 2)
    """

    y: np.ndarray
    x: np.ndarray
    spherical: bool = False
    periods: tuple[float | None, float | None] = (None, None)
    land: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, values in (("y", self.y), ("x", self.x)):
            if np.ndim(values) != 1 or not np.isfinite(values).all():
                raise InputError(
                    f"Received coordinates {name} of shape {np.shape(values)}, "
                    f"{int((~np.isfinite(values)).sum())} of them not finite; expected a finite "
                    "number for each row and column."
                )
            if len(np.unique(values)) < len(values):
                raise InputError(f"Received coordinates {name} some of which stand there twice.")
        if self.spherical and np.abs(self.y).max() > 90:
            raise InputError(
                f"Received latitudes up to {np.abs(self.y).max():g} degrees; expected 90 at most."
            )
        for name, values, period in zip("yx", (self.y, self.x), self.periods, strict=True):
            if period is not None and (self.spherical or not period > np.ptp(values)):
                raise InputError(
                    f"Received the period {period:g} in {name}; expected one on a plane, larger "
                    f"than the grid's {np.ptp(values):g}."
                )
        if self.land is None:
            return
        if self.land.shape != self.shape or self.land.dtype != bool:
            raise InputError(
                f"Received land of shape {self.land.shape} and type {self.land.dtype}; expected "
                f"True and False of shape {self.shape}."
            )
        if self.land.all():
            raise InputError("Received a grid that is all land; expected some points of a field.")

    @classmethod
    def of(cls, stacked: xr.DataArray, land: np.ndarray | None = None) -> "Grid":
        """The grid of stacked data.

        Args:
            stacked: [time, y, x, component], as `Layout.stack` gives them. Coordinates in degrees,
                or without units and with the names of latitudes and longitudes, are of the sphere,
                others in m or km; one with the attribute `modulo` repeats after so much.
            land: see the class.

        Raises:
            InputError: it is no field of two dimensions, or a coordinate or its units are unknown.
        """
        space = dims_of(stacked).space
        if len(space) != 2:
            raise InputError(
                f"Received data with the dimensions {stacked.dims}; expected time, y and x."
            )
        missing = [name for name in space if name not in stacked.coords]
        if missing:
            raise InputError(
                f"Received a field without coordinates {' and '.join(missing)}; expected degrees, "
                "m or km of every row and column."
            )
        units = [_unit_of(name, stacked[name]) for name in space]
        for name in space:
            if stacked[name].dtype.kind not in "iuf":
                raise InputError(
                    f"Received coordinates {name} of the type {stacked[name].dtype}; expected "
                    "numbers."
                )
        y, x = (stacked[name].values.astype("float64") for name in space)
        if all(unit.lower().startswith("degree") for unit in units):
            return cls(y, x, spherical=True, land=land)
        if not all(unit in KILOMETRES for unit in units):
            raise InputError(
                f"Received coordinates {' and '.join(space)} in the units {units}; expected "
                "degrees, m or km of both."
            )
        factors = [KILOMETRES[unit] for unit in units]
        periods = [
            _period(stacked[name], factor) for name, factor in zip(space, factors, strict=True)
        ]
        return cls(y * factors[0], x * factors[1], periods=(periods[0], periods[1]), land=land)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.y), len(self.x)

    @cached_property
    def positions(self) -> np.ndarray:
        """Where the points are, km: [y, x, 2] on the plane, [y, x, 3] in space on the sphere.

        Distances between them are straight lines, on the sphere too: of two points 1000 km from
        each other 1 km shorter than on its surface. In a dimension with a period positions are from
        zero on.
        """
        y, x = np.meshgrid(self.y, self.x, indexing="ij")
        if self.spherical:
            latitude, longitude = np.radians(y), np.radians(x)
            away = np.cos(latitude)
            parts = away * np.cos(longitude), away * np.sin(longitude), np.sin(latitude)
            return EARTH_RADIUS * np.stack(parts, axis=-1)
        wrapped = [
            each if period is None else np.mod(each, period)
            for each, period in zip((y, x), self.periods, strict=True)
        ]
        return np.stack(wrapped, axis=-1)

    @property
    def box(self) -> np.ndarray:
        """Of every dimension of `positions` its period, 0 where it has none.

        As `scipy.spatial.cKDTree(..., boxsize=...)` takes it.
        """
        if self.spherical:
            return np.zeros(3)
        return np.array([period or 0.0 for period in self.periods])

    @property
    def sea(self) -> np.ndarray:
        """[y, x], True where there is a field."""
        return np.ones(self.shape, bool) if self.land is None else ~self.land


def distances(some: np.ndarray, others: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Between positions, the shortest where they repeat, [some, others].

    Args:
        some, others: [point, dimension], as of `Grid.positions`.
        box: of every dimension its period, 0 where it has none.

    Usage:

        from tf4dvar.data.grid import distances

        places = np.array([[0.0, 0.0], [3.0, 6.0]])
        assert np.allclose(distances(places, places, np.array([0.0, 10.0])), [[0, 5], [5, 0]])
    """
    squares = np.zeros((len(some), len(others)))
    for one, other, period in zip(some.T, others.T, box, strict=True):
        apart = np.abs(np.subtract.outer(one, other))
        squares += np.square(np.minimum(apart, period - apart) if period else apart)
    return np.sqrt(squares)


def _unit_of(name, coordinate):
    """Of a coordinate; of a latitude or longitude that tells none degrees."""
    told = unit_name(str(coordinate.attrs.get("units", "")))
    return "degrees" if told in ("", "1") and is_angle(name, coordinate) else told


def _period(coordinate, factor):
    """What its attribute says, km; None where it says nothing."""
    told = coordinate.attrs.get(PERIOD)
    if told is None:
        return None
    try:
        period = float(told) * factor
    except (TypeError, ValueError):
        period = np.nan
    if not 0 < period < np.inf:
        raise InputError(
            f"The attribute {PERIOD} of {str(coordinate.name)!r} is {shown(told)}; expected a "
            "positive number, after which the field repeats. Mend or remove it."
        )
    return period
