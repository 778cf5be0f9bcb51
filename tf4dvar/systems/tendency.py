"""The right-hand side dx/dt that a user gives, as System and ODE layer both take it."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tf4dvar.errors import InputError

Tendency = Callable[..., Any]
"""`f(state, **parameters)`, a function or `tf4dvar.systems.symbolic.Equations`.

The state is [..., component]; the function returns dx/dt of the same shape, or a list of the
components' tendencies [...].
"""

Components = int | Sequence[str] | None


def tendency_name(tendency: Tendency) -> str:
    """What messages and files call it.

    Args:
        tendency: the right-hand side.
    """
    return getattr(tendency, "__name__", type(tendency).__name__)


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


def check_slopes(tendency: Tendency, slopes_shape: Collection, state_shape: Collection) -> None:
    """Refuse a right-hand side that has not the shape of its state.

    Args:
        tendency: the right-hand side.
        slopes_shape: what it returned.
        state_shape: what it was given.
    """
    if tuple(slopes_shape) != tuple(state_shape):
        raise InputError(
            f"{tendency_name(tendency)} returned the shape {tuple(slopes_shape)} for a state of "
            f"shape {tuple(state_shape)}; expected the same shape, or a list with the tendency of "
            "each component, `state[..., 0]` being the first component."
        )
