"""The right-hand side dx/dt that a user gives, as System and ODE layer both take it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf4dvar.errors import InputError

Tendency = Callable[..., Any]
"""`f(state, **parameters)`, a function or `tf4dvar.systems.symbolic.Equations`.

The state is [..., component]; the function returns dx/dt of the same shape, or a list of the
components' tendencies [...].
"""

Components = int | Sequence[str] | None

# What is named once costs less than a union that is made at every call.
LISTS = (list, tuple)


def tendency_name(tendency: Tendency) -> str:
    """What messages and files call it.

    Args:
        tendency: the right-hand side.
    """
    return getattr(tendency, "__name__", type(tendency).__name__)


def library_of(state: Any) -> Any:
    """NumPy for its arrays, TensorFlow for its tensors: both have `stack`, `roll`, `sin`.

    Args:
        state: what a right-hand side is given.
    """
    if isinstance(state, np.ndarray):
        return np
    import tensorflow as tf

    return tf


def check_parameters(tendency: Tendency, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the function does not take, or lacks.

    Args:
        tendency: the right-hand side.
        parameters: values by name.
    """
    signature = inspect.signature(tendency)
    try:
        signature.bind(None, **parameters)
    except TypeError as error:
        raise InputError(
            f"{tendency_name(tendency)}{signature} received the parameters "
            f"{sorted(parameters)}: {error}. Give each by its name."
        ) from error


def component_names(tendency: Tendency, components: Components) -> tuple[str, ...]:
    """The components' names: given, numbered from x1 where their number is, or the equations'.

    Args:
        tendency: the right-hand side.
        components: their names or number, or None.
    """
    if components is None:
        components = getattr(tendency, "components", None)
    if components is None:
        raise InputError(
            f"{tendency_name(tendency)} does not say how many components its state has; "
            "give `components`, their number or their names."
        )
    if isinstance(components, int):
        components = [f"x{i + 1}" for i in range(components)]
    return tuple(components)


def by_name(covariates: Any, names: Sequence[str], of: str, state: Any) -> dict[str, Any]:
    """The covariates of a right-hand side by their names, without their axis.

    Args:
        covariates: [..., covariate], or None.
        names: those that it has.
        of: its name.
        state: [..., component]; a field has axes of space that covariates have not.

    Raises:
        InputError: it has others.
    """
    if covariates is None and not names:
        return {}
    given = 0 if covariates is None else covariates.shape[-1]
    if given != len(names):
        raise InputError(
            f"{of} received {given} covariates; expected {len(names)}, "
            f"{', '.join(names) or 'none'}."
        )
    for _ in range(len(state.shape) - len(covariates.shape) if names else 0):
        covariates = covariates[..., None, :]
    return {name: covariates[..., place] for place, name in enumerate(names)}


def as_slopes(rates: Any, state: Any, name: str) -> Any:
    """dx/dt as one array or tensor; refuse what has not the shape of its state.

    Args:
        rates: dx/dt, or the list of the components'.
        state: [..., component], of which it is.
        name: of the right-hand side.
    """
    slopes: Any = rates
    if isinstance(state, np.ndarray):
        slopes = _filled(rates, state) if isinstance(rates, LISTS) else np.asarray(rates)
        same = slopes.shape == state.shape
    else:
        if isinstance(rates, LISTS):
            slopes = library_of(state).stack(rates, -1)
        # In a graph the one may know the size of the batch and the other not.
        same = slopes.shape.is_compatible_with(state.shape)
    if not same:
        raise InputError(
            f"{name} returned the shape {tuple(slopes.shape)} for a state of shape "
            f"{tuple(state.shape)}; expected the same shape, or a list with the tendency of each "
            "component, `state[..., 0]` being the first component."
        )
    return slopes


def _filled(rates, state):
    """The components' tendencies, each in one piece of memory, as each is worked with by itself.

    Of a few states stacking them would take longer.
    """
    shape = state.shape[:-1]
    slopes = np.empty((len(rates), *shape), state.dtype)
    for place, rate in enumerate(rates):
        if not isinstance(rate, np.ndarray) or rate.shape != shape or rate.dtype != slopes.dtype:
            return np.stack(rates, -1)
        slopes[place] = rate
    return slopes.transpose(*range(1, slopes.ndim), 0)
