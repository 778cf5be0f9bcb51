"""Observation plans of systems: by the name of a protocol, or put together."""

from collections.abc import Sequence
from typing import Any

from tf4dvar.errors import InputError, shown
from tf4dvar.systems import System, system_by_name
from tf4dvar.systems.drawn_plan import Plan
from tf4dvar.systems.observation_plan import ObservationPlan


def protocol_plan(system: str | System, protocol: str | None = None) -> Plan:
    """The observation plan of a system's protocol; its default one for None.

    Args:
        system: it, or its short name.
        protocol: a key of `System.protocols`, "T" or "C" of the paper's systems, or None.
    """
    nature = _system(system)
    name = default_protocol(nature) if protocol is None else protocol
    if name not in nature.protocols:
        raise InputError(
            f"Received the protocol {shown(name)}; {nature.name} has: "
            f"{', '.join(nature.protocols) or 'none'}."
        )
    return nature.protocols[name]


def default_protocol(system: str | System) -> str:
    """The name of a system's default protocol, its first.

    Args:
        system: it, or its short name.
    """
    nature = _system(system)
    if not nature.protocols:
        raise InputError(f"The system {nature.name} has no observation plan; give it `protocols`.")
    return next(iter(nature.protocols))


def plan_of(
    system: System,
    protocol: str | None = None,
    components: Sequence[str] | None = None,
    every: int | None = None,
    phase: int | None = None,
    noise_variance: float | None = None,
    drawn: int | None = None,
) -> Plan:
    """The plan of a protocol, of which some parts are others.

    Of a system without protocols, all components are observed at every step unless said otherwise.

    Args:
        system: what is observed.
        protocol: see `protocol_plan`.
        components: names of the observed ones; all of them at a time, unless `drawn` is given too.
        every, phase, noise_variance, drawn: see `ObservationPlan`.

    Raises:
        InputError: a component is not the system's, or the noise is not known.
    """
    given: dict[str, Any] = {
        "every": every,
        "phase": phase,
        "noise_variance": noise_variance,
        "drawn": drawn,
    }
    parts = {name: value for name, value in given.items() if value is not None}
    if components is not None:
        parts = {"drawn": None, **parts, "components": _indices(system, components)}
    if system.protocols or protocol is not None:
        return protocol_plan(system, protocol).changed(**parts)
    if noise_variance is None:
        raise InputError(
            f"The system {system.name} has no observation plan; give noise_variance=NUMBER, "
            "or the system `protocols`."
        )
    everything: dict[str, Any] = {"components": tuple(range(len(system.components))), "every": 1}
    return ObservationPlan(**{**everything, **parts})


def _indices(system: System, names: Sequence[str]) -> tuple[int, ...]:
    wrong = [name for name in names if name not in system.components]
    if wrong or not names or len(set(names)) < len(names):
        raise InputError(
            f"Received the components {', '.join(names) or '(none)'}; expected some of "
            f"{', '.join(system.components)}, each once."
        )
    return tuple(system.components.index(name) for name in names)


def _system(system: str | System) -> System:
    return system_by_name(system) if isinstance(system, str) else system
