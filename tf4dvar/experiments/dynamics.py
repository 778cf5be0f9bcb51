"""The true dynamics of each system as a prior."""

from tf4dvar.errors import InputError
from tf4dvar.layers import Lorenz63ODE, Lorenz96ODE, RK4Flow
from tf4dvar.systems import Lorenz63, Lorenz96

_ODES = {
    "l63": (Lorenz63ODE, Lorenz63.time_step),
    "l96": (Lorenz96ODE, Lorenz96.time_step),
}


def true_flow(system: str, dtype: str = "float32") -> RK4Flow:
    """The RK4 flow of a system's true equations, not trained.

    Args:
        system: short name.
        dtype: of the flow; classical methods take float64.
    """
    if system not in _ODES:
        raise InputError(
            f"The true dynamics of the system {system!r} are not known here; "
            f"known systems: {', '.join(_ODES)}."
        )
    ode, time_step = _ODES[system]
    return RK4Flow(ode(trainable=False, dtype=dtype), time_step, dtype=dtype)
