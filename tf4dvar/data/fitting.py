"""Whether data fit a signature: what is put in order, refused, and warned of."""

import logging
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tf4dvar.data.patterns import VALUES
from tf4dvar.data.stacked import (
    axis_of,
    component_names,
    dims_of,
    listed,
    looked_at,
    numbers,
    regular_step,
    units_of,
)
from tf4dvar.data.units import in_seconds, same_units
from tf4dvar.errors import InputError, shown

if TYPE_CHECKING:
    from tf4dvar.data.signature import Signature

logger = logging.getLogger(__name__)

# Relative: single precision has seven digits, of a coordinate far from 0 fewer.
TOLERANCE = 1e-3
# In widths of the training's range, by how much values are far beyond it.
FAR = 1.0


def arrangement(signature: "Signature", stacked: xr.DataArray) -> dict[str, np.ndarray]:
    """See `Signature.arrangement`."""
    dims = dims_of(stacked)
    if len(dims.space) != len(signature.space):
        raise InputError(
            f"Received data with the dimensions {stacked.dims}; expected {len(signature.space)} "
            f"dimensions of space: ({', '.join(('window', signature.time, *signature.space))}, "
            "component)."
        )
    _check_time(signature, stacked, dims.time)
    order = _order(signature, stacked)
    _check_units(signature, stacked, order)
    indices = {} if order is None else {"component": order}
    for name, trained in zip(dims.space, signature.spacing, strict=True):
        if _is_reversed(stacked, name, trained):
            indices[name] = np.arange(stacked.sizes[name])[::-1]
    return indices


def warn_of_labels(signature: "Signature", arranged: xr.DataArray) -> None:
    """Say what the data leave open, though the training's is known.

    Args:
        signature: the model's.
        arranged: data in its order.
    """
    dims, doubts = dims_of(arranged), []
    if signature.components and signature.size > 1 and numbers(arranged, "component") is not None:
        doubts.append(f"the names of their components ({listed(signature.components)})")
    if signature.time_step is not None and regular_step(arranged, dims.time) is None:
        doubts.append(f"their time step ({signature.time_step:g} {signature.time_units})")
    unknown = [
        f"{signature.name(number)} in {_each(signature.units, number)}"
        for number, found in enumerate(units_of(arranged)[: signature.size])
        if not found and not same_units(_each(signature.units, number), "")
    ]
    if unknown:
        doubts.append(f"their units ({_first(unknown)})")
    axes = [axis_of(arranged, name) for name in dims.space]
    for axis, trained in zip(axes, signature.spacing, strict=True):
        if trained is not None and axis.spacing is None:
            doubts.append(f"the spacing of {axis.name!r} ({trained:g})")
    if doubts:
        logger.warning(
            "The data do not tell %s: taken to be as in the model's training.",
            ", nor ".join(doubts),
        )
    for axis, circle in zip(axes, signature.periodic, strict=True):
        if circle and axis.spacing is not None and not axis.circle:
            logger.warning(
                "The data do not go all the way round on %r, as in the model's training: their "
                "two ends are taken for neighbours.",
                axis.name,
            )


def warn_of_values(signature: "Signature", arranged: xr.DataArray) -> None:
    """Warn of values and patterns beyond the training's.

    Args:
        signature: the model's.
        arranged: data in its order.
    """
    low, high, observed = looked_at(arranged, len(signature.patterns))
    far = _far(signature, low, high)
    if far:
        logger.warning(
            "The data have values far beyond those of the model's training: %s. Look at their "
            "units, and for undeclared fill values.",
            _first(far),
        )
    beyond = [
        f"{_told(signature, number)}: {'; '.join(found)}"
        for number, pattern in enumerate(signature.patterns)
        if (found := observed.beyond(number, pattern))
    ]
    if beyond:
        logger.warning(
            "The data are observed otherwise than in the model's training, which may put its "
            "states far off: %s. Score it on such windows whose truth is known, or train on such.",
            _first(beyond),
        )


def _order(signature, stacked):
    """Indices that put components into the model's order; None where they are in it."""
    labels = numbers(stacked, "component")
    if labels is not None and labels == sorted(labels):
        return None
    names, expected = component_names(stacked), signature.components
    if not expected:
        # Its components had numbers, too.
        return None if labels is None or len(labels) != signature.size else np.argsort(labels)
    unknown = [name for name in names if name not in expected]
    missing = [name for name in expected if name not in names]
    if unknown or missing:
        remedies = [
            f"{listed(some)} {what}"
            for some, what in (
                (missing, "is missing: add it, NaN if not observed"),
                (unknown, "is unknown: rename or drop it"),
            )
            if some
        ]
        raise InputError(
            f"Received {len(names)} components {listed(names)}; expected {signature.size} "
            f"components {listed(expected)}. {'; '.join(remedies)}."
        )
    order = np.array([names.index(name) for name in expected])
    return None if (order == np.arange(len(order))).all() else order


def _check_units(signature, stacked, order):
    units = units_of(stacked)
    if len(units) != signature.size:
        return
    ordered = units if order is None else [units[index] for index in order]
    for number, found in enumerate(ordered):
        trained = _each(signature.units, number)
        if found and trained and not same_units(found, trained):
            raise InputError(
                f"Received {signature.name(number)} in {shown(found)}; expected it in "
                f"{shown(trained)}. Convert it, and set its attribute `units`."
            )


def _check_time(signature, stacked, time):
    found = regular_step(stacked, time)
    if found is None or signature.time_step is None:
        return
    step, unit = in_seconds(*found)
    trained, known = in_seconds(signature.time_step, signature.time_units)
    # A number without a unit is taken for one of the other's.
    if not ((same_units(unit, known) or not unit or not known) and _is_close(step, trained)):
        raise InputError(
            f"Received data with a time step of {found[0]:g} {shown(found[1])}; expected "
            f"{signature.time_step:g} {shown(signature.time_units)}, that of the model's training. "
            "Interpolate or thin the data to it, or train a model on theirs."
        )


def _is_reversed(stacked, name, trained):
    """Whether a dimension of space runs against the training's."""
    axis = axis_of(stacked, name)
    if axis.spacing is None:
        return axis.reversed
    if trained is None:
        return False
    if not _is_close(abs(axis.spacing), abs(trained)):
        raise InputError(
            f"Received a grid with a spacing of {abs(axis.spacing):g} on {name!r}; expected "
            f"{abs(trained):g}, that of the model's training. Interpolate the data to it, or train "
            "a model on theirs."
        )
    return (axis.spacing < 0) != (trained < 0)


def _far(signature, low, high):
    """Components whose values are far beyond the training's, with both."""
    found = []
    for number, (least, most) in enumerate(zip(low, high, strict=True)):
        known = signature.low[number], signature.high[number]
        few = signature.patterns[number].values < VALUES
        if least is None or None in known or few:
            continue
        reach = max(FAR * (known[1] - known[0]), TOLERANCE * max(map(abs, known)))
        if least < known[0] - reach or most > known[1] + reach:
            found.append(
                f"{_told(signature, number)} {least:.4g} to {most:.4g}, in training "
                f"{known[0]:.4g} to {known[1]:.4g}"
            )
    return found


def _told(signature, number):
    """Of what a pattern is."""
    alone = len(signature.patterns) == signature.size
    return signature.name(number) if alone else "the components"


def _each(values, number):
    return values[0] if len(values) == 1 else values[number]


def _is_close(one, other):
    return abs(one - other) <= TOLERANCE * abs(other)


def _first(findings):
    others = len(findings) - 1
    return findings[0] + (f" (and {others} others)" if others else "")
