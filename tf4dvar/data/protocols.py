"""Observation plans of the known systems by the name of their protocol."""

from tf4dvar.errors import InputError, shown
from tf4dvar.systems import system_by_name
from tf4dvar.systems.observation_plan import ObservationPlan


def protocol_plan(system: str, protocol: str | None = None) -> ObservationPlan:
    """The observation plan of a system's protocol; its default one for None.

    Args:
        system: short name.
        protocol: a key of `System.protocols`, "T" or "C" of the paper's systems, or None.
    """
    plans = system_by_name(system).protocols
    name = default_protocol(system) if protocol is None else protocol
    if name not in plans:
        raise InputError(f"Received the protocol {shown(name)}; {system} has: {', '.join(plans)}.")
    return plans[name]


def default_protocol(system: str) -> str:
    """The name of a system's default protocol, its first.

    Args:
        system: short name.
    """
    plans = system_by_name(system).protocols
    if not plans:
        raise InputError(f"The system {system} has no observation plan; give it `protocols`.")
    return next(iter(plans))
