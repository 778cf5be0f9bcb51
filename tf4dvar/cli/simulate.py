"""`tf4dvar simulate`: true states and their observations."""

from contextlib import nullcontext
from typing import Annotated

import typer

from tf4dvar.cli.common import (
    AddressOption,
    ForceOption,
    JsonOption,
    OutOption,
    ProtocolOption,
    WorkersOption,
    check_workers,
    listed,
    refuse_given,
    report,
    system_of,
)
from tf4dvar.data import plan_of, simulate_dataset, write_dataset
from tf4dvar.data.fields import FIELDS, simulate_fields
from tf4dvar.errors import InputError, shown
from tf4dvar.scale.simulation import with_workers
from tf4dvar.storage import check_output
from tf4dvar.systems import SYSTEMS, windows_from
from tf4dvar.systems.instruments import PLANS

# Not 0, that of trainings: their windows would be the same.
SIMULATE_SEED = 1

OF_FIELDS = ("days", "members", "plan")
OF_WINDOWS = (
    *("own_system", "windows", "steps", "protocol", "components", "every", "phase"),
    *("noise_variance", "drawn", "integrator", "workers", "address"),
)


def simulate(
    context: typer.Context,
    out: OutOption,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[SYSTEM]", help=f"{', '.join(SYSTEMS)}; of maps {', '.join(FIELDS)}."
        ),
    ] = None,
    own_system: Annotated[
        str | None,
        typer.Option("--system", help="One of your own: MODULE:NAME, or my_system.py:NAME."),
    ] = None,
    windows: Annotated[int, typer.Option(help="Number of windows.")] = 200,
    steps: Annotated[int, typer.Option(help="Times in each window.")] = 200,
    protocol: ProtocolOption = None,
    components: Annotated[
        str | None, typer.Option(help="Observed components by name, with commas.")
    ] = None,
    every: Annotated[int | None, typer.Option(min=1, help="Steps between observed times.")] = None,
    phase: Annotated[int | None, typer.Option(min=0, help="The first observed step.")] = None,
    noise_variance: Annotated[
        float | None, typer.Option(min=0.0, help="Of the observations.")
    ] = None,
    drawn: Annotated[
        int | None,
        typer.Option(min=1, help="Components observed at a time, drawn among the observed ones."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same file.")] = SIMULATE_SEED,
    integrator: Annotated[str, typer.Option(help="rk4, or rk45 (SciPy, slow).")] = "rk4",
    days: Annotated[int, typer.Option(min=1, help="Of maps, one a day.")] = 400,
    members: Annotated[int, typer.Option(min=1, help="Of maps, realisations.")] = 1,
    plan: Annotated[
        str | None, typer.Option(help=f"Of maps, what sees them: {', '.join(PLANS)}.")
    ] = None,
    workers: WorkersOption = None,
    address: AddressOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate true states and their observations.

    Example: `tf4dvar simulate l63 --windows 200 --protocol C --seed 7 --out windows.nc`

    What of the protocol is said otherwise is otherwise: `--components x,z --every 4 --phase 3`.
    With workers the file is the same.

    Example: `tf4dvar simulate qg --days 400 --members 2 --plan nadirs --seed 7 --out qg.nc`

    Maps of turbulence, and of a temperature that it stirs, are on a periodic grid in km.
    """
    check_output(out, force)
    check_workers(workers, address)
    if name is not None and name in FIELDS:
        refuse_given(context, OF_WINDOWS, f"expected none of these with maps of {name}.")
        made = {"maps": days * members}
        dataset = _simulated_fields(name, plan, days, members, seed)
    else:
        refuse_given(context, OF_FIELDS, f"expected these with maps, of {' or '.join(FIELDS)}.")
        system = _one_system(name, own_system)
        named = None if components is None else listed(components)
        observed_as = plan_of(system, protocol, named, every, phase, noise_variance, drawn)
        made = {"windows": windows}
        with with_workers(workers, address) if workers else nullcontext(windows_from) as simulated:
            dataset = simulate_dataset(
                system, observed_as, windows, steps, seed, integrator, simulated
            )
    write_dataset(dataset, out, force)
    observed = int(dataset["observations"].notnull().sum())
    report({"out": str(out), **made, "observations": observed}, as_json)


def _simulated_fields(name, plan, days, members, seed):
    seen_by = plan or ("nadirs" if name == "qg" else "clouds")
    if seen_by not in PLANS:
        raise InputError(f"Received the plan {shown(plan)}; expected {', '.join(PLANS)}.")
    return simulate_fields(FIELDS[name](), PLANS[seen_by], days, members, seed)


def _one_system(name, own_system):
    named = name or own_system
    if named is None or (name and own_system):
        raise InputError(
            f"Received the systems {name} and {own_system}; expected one: {', '.join(SYSTEMS)}, or "
            "--system MODULE:NAME."
        )
    return system_of(named)
