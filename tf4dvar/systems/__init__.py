"""Nature: dynamical systems and their simulation, in NumPy and SciPy alone."""

from collections.abc import Callable

from tf4dvar.errors import InputError
from tf4dvar.systems.lorenz63 import Lorenz63
from tf4dvar.systems.lorenz96 import Lorenz96
from tf4dvar.systems.random_streams import TEST_SEED, random_stream
from tf4dvar.systems.simulation import (
    rk4_step,
    sample_windows,
    trajectories,
    trajectories_rk45,
    windows_from,
)
from tf4dvar.systems.system import System

__all__ = [
    "SYSTEMS",
    "TEST_SEED",
    "Lorenz63",
    "Lorenz96",
    "System",
    "random_stream",
    "rk4_step",
    "sample_windows",
    "system_by_name",
    "trajectories",
    "trajectories_rk45",
    "windows_from",
]

SYSTEMS: dict[str, Callable[[], System]] = {system.name: system for system in (Lorenz63, Lorenz96)}


def system_by_name(name: str) -> System:
    """The system of that short name with the paper's parameters.

    Args:
        name: a key of `SYSTEMS`.
    """
    if name not in SYSTEMS:
        raise InputError(f"Received the system {name!r}; known systems: {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]()
