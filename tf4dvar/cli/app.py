"""The command line: `tf4dvar --help`."""

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from tf4dvar.cli.assimilate import assimilate
from tf4dvar.cli.benchmark import benchmark
from tf4dvar.cli.common import (
    AddressOption,
    ForceOption,
    Group,
    JsonOption,
    ModelArgument,
    OutOption,
    ProtocolOption,
    WorkersOption,
    check_workers,
    listed,
    refuse_given,
    report,
    system_of,
)
from tf4dvar.cli.compare import compare, limit
from tf4dvar.cli.cycle import cycles
from tf4dvar.cli.data import DataOption, TruthOption, WindowOption, opens_files
from tf4dvar.cli.export import export
from tf4dvar.cli.fields import evaluate_on_fields
from tf4dvar.cli.fill import fill
from tf4dvar.cli.forecast import forecast
from tf4dvar.cli.models import convert, models, publish
from tf4dvar.cli.paper import experiments, figures, tables
from tf4dvar.cli.progress import verbose
from tf4dvar.cli.reconstruct import reconstruct
from tf4dvar.cli.serve import serve
from tf4dvar.cli.train import train
from tf4dvar.data import (
    plan_of,
    read_errors,
    read_states,
    simulate_dataset,
    write_dataset,
)
from tf4dvar.data.fields import FIELDS, simulate_fields
from tf4dvar.data.signature import WINDOW
from tf4dvar.errors import InputError, shown
from tf4dvar.runtime import load_tensorflow
from tf4dvar.scale.simulation import with_workers
from tf4dvar.storage import atomic_path, check_output
from tf4dvar.systems import SYSTEMS, windows_from
from tf4dvar.systems.instruments import PLANS

# Not 0, that of trainings: their windows would be the same.
SIMULATE_SEED = 1

OF_FIELDS = ("days", "members", "plan")
OF_WINDOWS = (
    *("own_system", "windows", "steps", "protocol", "components", "every", "phase"),
    *("noise_variance", "drawn", "integrator", "workers", "address"),
)

# What needs TensorFlow is imported by the commands that use it: `--help` should not wait for it.

app = typer.Typer(
    cls=Group,
    help="Learned variational data assimilation: simulate, train, reconstruct, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(assimilate, name="assimilate")
app.add_typer(cycles, name="cycle")
for command in (
    *(experiments, tables, figures),
    *(publish, models, convert, compare, limit, benchmark),
    *(train, reconstruct, forecast, fill, export, serve),
):
    app.command()(command)


@app.command()
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


@app.command()
@opens_files
def evaluate(
    model: ModelArgument,
    data: DataOption,
    truth: TruthOption = None,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="Score the model's error bars, too.")
    ] = False,
    samples: Annotated[
        int, typer.Option(min=0, help="Samples of each window, which are scored, too.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Score a model on windows, a series or maps whose truth is known.

    Example: `tf4dvar evaluate runs/x --data windows.nc --json`

    A series of one's own is cut into windows, and its true states are in a file beside it.

    Example: `tf4dvar evaluate runs/x --data stations.nc --truth truth.nc`

    Of a model that says how sure it is, the error bars and samples; `limit --draws` tells what is
    possible.

    Example: `tf4dvar evaluate l63 --data windows.nc --calibration --samples 50`
    """
    if samples == 1 or (samples and not calibration):
        raise InputError(f"Received --samples {samples}; expected 2 or more, with --calibration.")
    load_tensorflow()
    from tf4dvar.evaluation.calibration import model_calibration
    from tf4dvar.evaluation.scores import evaluate as score_model
    from tf4dvar.evaluation.scores import system_of as known_system_of
    from tf4dvar.evaluation.scores import warn_of_training_windows
    from tf4dvar.models import load_model

    loaded = load_model(model)
    if not data.is_of_windows and data.is_of_fields:
        if calibration:
            raise InputError(f"Received --calibration and {data.path} of maps; expected windows.")
        evaluate_on_fields(loaded, data, truth, as_json)
        return
    dataset = data.windows(loaded.window, truth, loaded.transforms, loaded.covariate_names)
    warn_of_training_windows(model, dataset)
    scores = score_model(loaded, dataset)
    if calibration:
        scores |= model_calibration(loaded, dataset, samples, system=known_system_of(dataset))
    # In which, where there are some, the errors are.
    report(scores | ({"transforms": loaded.transforms} if loaded.transforms else {}), as_json)


@app.command()
@opens_files
def plot(
    data: DataOption,
    states: Annotated[list[Path], typer.Option("--states", help="May be given several times.")],
    out: OutOption,
    truth: TruthOption = None,
    window: WindowOption = WINDOW,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw example windows and error densities.

    States of files of windows that have `state_std` come with bands of 90 %.

    Example: `tf4dvar plot --data windows.nc --states a.nc --states b.nc --out figure.png`
    """
    from tf4dvar.evaluation.plots import plot_reconstructions

    check_output(out, force)
    dataset = data.windows(window, truth)
    reconstructions: dict[str, Any] = {}
    stds: dict[str, Any] = {}
    for path in states:
        if data.is_of_windows:
            reconstructions[path.stem] = read_states(path, dataset)
            errors = read_errors(path, dataset)
            stds |= {} if errors is None else {path.stem: errors}
            continue
        state = data.beside(str(path)).windows(window)["observations"]
        if state.shape != dataset["observations"].shape:
            raise InputError(
                f"{path} has states of shape {state.shape}; "
                f"{data.path} has windows of shape {dataset['observations'].shape}."
            )
        reconstructions[path.stem] = state.values
    figure = plot_reconstructions(dataset, reconstructions, stds)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, dpi=150)
    report({"out": str(out)}, as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")] = Path("demo"),
    windows: Annotated[int, typer.Option(min=2, help="Held-out windows.")] = 200,
    minutes: Annotated[float, typer.Option(help="Training time.")] = 3.0,
) -> None:
    """Simulate, train, reconstruct held-out windows, compare and draw.

    Example: `tf4dvar demo --out demo --minutes 3`
    """
    load_tensorflow()
    from tf4dvar.paper.demo import run_demo

    run_demo(out, windows, minutes, verbose())


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    app()
