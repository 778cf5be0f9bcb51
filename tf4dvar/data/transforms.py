"""Transforms of positive variables, in which models work; undone on the way out."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tf4dvar.errors import InputError


class Transform(NamedTuple):
    """A function of values and its inverse.

    Attributes:
        forward, inverse: of arrays; NaN stays NaN.
        zero: whether it takes 0, as numbers above.
    """

    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    zero: bool = False


TRANSFORMS = {
    "log10": Transform(np.log10, lambda values: np.power(10.0, values, dtype=values.dtype)),
    "log": Transform(np.log, np.exp),
    "sqrt": Transform(np.sqrt, np.square, zero=True),
}
"""The known ones by name."""


def transformed(values: np.ndarray, name: str, variable: str = "the observations") -> np.ndarray:
    """Values on the scale of a transform.

    Args:
        values: an array, NaN where nothing is known.
        name: a key of `TRANSFORMS`.
        variable: what they are of, for messages.

    Raises:
        InputError: some values have no transform.
    """
    transform = transform_by_name(name)
    refused = values < 0 if transform.zero else values <= 0
    if refused.any():
        allowed = "of at least 0" if transform.zero else "above 0"
        raise InputError(
            f"{100 * refused.mean():.2g} % of the entries of {variable} are no numbers {allowed}, "
            f"the least of them {np.nanmin(values):g}, and have no {name}; make them NaN if they "
            "mean not observed, or take no transform."
        )
    return transform.forward(values)


def restored(values: np.ndarray, name: str) -> np.ndarray:
    """The inverse of `transformed`.

    Args:
        values: on the scale of the transform.
        name: a key of `TRANSFORMS`.
    """
    return transform_by_name(name).inverse(values)


def transform_by_name(name: str) -> Transform:
    """A transform of the table.

    Args:
        name: its key.
    """
    if name not in TRANSFORMS:
        raise InputError(
            f"Received the transform {name!r}; expected one of {', '.join(TRANSFORMS)}."
        )
    return TRANSFORMS[name]
