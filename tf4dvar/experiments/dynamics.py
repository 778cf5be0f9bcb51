"""The true dynamics of each system as a prior."""

from typing import Any

from tf4dvar.layers import Lorenz63ODE, Lorenz96ODE, RK4Flow, SystemODE
from tf4dvar.systems import Lorenz63, Lorenz96, System, system_by_name

# What is written by hand is faster than a system's own tendency.
_FAST = {Lorenz63: Lorenz63ODE, Lorenz96: Lorenz96ODE}


def true_flow(system: str | System, dtype: str = "float32") -> RK4Flow:
    """The RK4 flow of a system's true equations with its time step, not trained.

    Args:
        system: it, or its short name, without which a model of the flow cannot be saved.
        dtype: of the flow; classical methods take float64.
    """
    nature = system_by_name(system) if isinstance(system, str) else system
    kind: Any = type(nature)
    # With parameters of its own it is another system.
    fast = _FAST[kind] if kind in _FAST and nature == kind() else None
    ode = fast(trainable=False, dtype=dtype) if fast else SystemODE(system, dtype=dtype)
    return RK4Flow(ode, nature.time_step, dtype=dtype)
