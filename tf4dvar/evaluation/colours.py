"""Colours of maps: of states by their quantity, of errors diverging from zero."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap

from tf4dvar.data.units import same_units

LAND, UNKNOWN = "#8c8c8c", "#e3e3e3"
ERRORS = "PuOr_r"
# Of the values a scale is to show, between the extremes of a few points.
SHOWN = 0.99


class Quantity(NamedTuple):
    """What a map is of.

    Attributes:
        name: for readers.
        units: of its values.
        standard_name: by the CF conventions; "" where there is none.

    Usage:

        from tf4dvar.evaluation.colours import Quantity

        quantity = Quantity("temperature", "degC", "sea_surface_temperature")
        assert quantity.label == "temperature (degC)"
    """

    name: str
    units: str
    standard_name: str = ""

    @property
    def label(self) -> str:
        """Name and units, for an axis."""
        return f"{self.name} {self._unit}"

    @property
    def error_label(self) -> str:
        """The same of errors."""
        return f"error {self._unit}"

    @property
    def _unit(self):
        return "(dimensionless)" if self.units == "1" else f"({self.units})"


class Scale(NamedTuple):
    """Colours, and the values at their ends.

    Attributes:
        colours: from the lowest to the highest.
        low, high: the values; what lies beyond has the colours of the ends.
    """

    colours: Colormap
    low: float
    high: float


class _Colours(NamedTuple):
    """Colours of quantities whose standard name has a word, or whose units are these."""

    word: str
    units: tuple[str, ...]
    cmocean: str
    matplotlib: str


# Those of Thyng et al. (2016), doi:10.5670/oceanog.2016.66; beside each what matplotlib has.
_HEIGHT = _Colours("sea_surface_height", (), "balance", "RdBu_r")
_QUANTITIES = (
    _HEIGHT,
    _Colours("chlorophyll", ("mg m-3",), "algae", "YlGn"),
    _Colours("salinity", ("psu",), "haline", "viridis"),
    _Colours("temperature", ("K", "degC"), "thermal", "inferno"),
)
_OTHER = _Colours("", (), "", "viridis")


def state_scale(quantity: Quantity, values: np.ndarray) -> Scale:
    """The scale of states, by what they are of; that of heights is even about zero.

    Args:
        quantity: of the states.
        values: what it is to show, any shape; NaN is left out.

    Usage:

        from tf4dvar.evaluation.colours import Quantity, state_scale

        height = Quantity("height", "m", "sea_surface_height_above_geoid")
        scale = state_scale(height, np.array([-0.2, 0.1, np.nan]))
        assert np.isclose(scale.low, -scale.high)
    """
    kind = _kind(quantity)
    low, high = _limits(values, (1 - SHOWN) / 2, (1 + SHOWN) / 2)
    if kind is _HEIGHT and low < 0 < high:
        high = max(-low, high)
        low = -high
    return Scale(_colours(kind), low, high)


def error_scale(errors: Iterable[np.ndarray], states: Scale) -> Scale:
    """One scale of errors, even about zero.

    Args:
        errors: of each method, any shape; NaN is left out.
        states: their scale. One of errors is no longer: a method that fails hides no other.
    """
    highest = max(_limits(np.abs(each), 0.0, SHOWN)[1] for each in errors)
    highest = min(highest, states.high - states.low)
    return Scale(colormaps[ERRORS], -highest, highest)


def _limits(values, *shares):
    """Quantiles of what is known, always two numbers apart."""
    known = values[np.isfinite(values)]
    low, high = (float(q) for q in np.quantile(known, shares)) if known.size else (0.0, 1.0)
    if np.isclose(low, high, atol=0.0):
        around = 0.05 * abs(low) or 1.0
        return low - around, high + around
    return low, high


def _kind(quantity):
    for kind in _QUANTITIES:
        if kind.word in quantity.standard_name:
            return kind
    for kind in _QUANTITIES:
        if any(same_units(quantity.units, units) for units in kind.units):
            return kind
    return _OTHER


def _colours(kind):
    """Of cmocean, an extra, where it is installed."""
    if not kind.cmocean:
        return colormaps[kind.matplotlib]
    try:
        from cmocean import cm
    except ImportError:
        return colormaps[kind.matplotlib]
    return getattr(cm, kind.cmocean)
