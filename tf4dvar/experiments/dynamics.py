"""The true dynamics of each system as a prior."""

from typing import Any

from tf4dvar.layers import (
    Lorenz63ODE,
    Lorenz96ODE,
    OneStepFlow,
    RK4Flow,
    SystemFlow,
    SystemODE,
    ode_layer,
)
from tf4dvar.layers.odes.function import is_saveable
from tf4dvar.systems import SYSTEMS, Lorenz63, Lorenz96, System, system_by_name

# What is written by hand is faster than a system's own tendency.
_FAST = {Lorenz63: Lorenz63ODE, Lorenz96: Lorenz96ODE}


def true_flow(system: str | System, dtype: str = "float32") -> OneStepFlow:
    """The flow of a system's true equations by its scheme and time step, not trained.

    Args:
        system: it, or its short name. A model of the flow can be saved if the system has a name
            and its own parameters, or is made of a registered function or of equations.
        dtype: of the flow; classical methods take float64.
    """
    nature = system_by_name(system) if isinstance(system, str) else system
    flow = RK4Flow if type(nature).step is System.step else SystemFlow
    return flow(_ode(nature, dtype), nature.time_step, dtype=dtype)


def _ode(nature, dtype):
    kind: Any = SYSTEMS.get(nature.name)
    # With parameters of its own it is another system.
    if type(nature) is kind and _told(nature) == _told(kind()):
        fast = _FAST.get(kind)
        return fast(trainable=False, dtype=dtype) if fast else SystemODE(nature.name, dtype=dtype)
    if nature.function is None or not is_saveable(nature.function):
        return SystemODE(nature, dtype=dtype)
    return ode_layer(
        nature.function,
        components=nature.components,
        trainable=False,
        covariates=nature.covariates,
        dtype=dtype,
        **nature.parameters,
    )


def _told(nature):
    """What a system was made with, but for its time step, which the data tell."""
    return {name: of for name, of in vars(nature).items() if name not in ("time_step", "spin_up")}
