"""The command line: `tf4dvar --help`."""

import logging
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from tf4dvar.cli.assimilate import assimilate
from tf4dvar.cli.common import (
    AddressOption,
    DataOption,
    ForceOption,
    Group,
    JsonOption,
    ModelArgument,
    OutOption,
    ProtocolOption,
    WorkersOption,
    check_workers,
    report,
)
from tf4dvar.cli.compare import compare, limit
from tf4dvar.cli.export import export
from tf4dvar.cli.models import models, publish
from tf4dvar.cli.paper import experiments, figures, tables
from tf4dvar.cli.progress import verbose
from tf4dvar.cli.reconstruct import reconstruct
from tf4dvar.cli.serve import serve
from tf4dvar.data import (
    protocol_plan,
    read_states,
    read_windows,
    simulate_dataset,
    write_dataset,
)
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow
from tf4dvar.scale.simulation import with_workers
from tf4dvar.storage import atomic_path, check_output
from tf4dvar.systems import SYSTEMS, system_by_name, windows_from

# Not 0, that of trainings: their windows would be the same.
SIMULATE_SEED = 1

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
for command in (
    *(experiments, tables, figures),
    *(publish, models, compare, limit),
    *(reconstruct, export, serve),
):
    app.command()(command)


@app.command()
def simulate(
    system: Annotated[str, typer.Argument(help=" or ".join(SYSTEMS))],
    out: OutOption,
    windows: Annotated[int, typer.Option(help="Number of windows.")] = 200,
    steps: Annotated[int, typer.Option(help="Times in each window.")] = 200,
    protocol: ProtocolOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same file.")] = SIMULATE_SEED,
    integrator: Annotated[str, typer.Option(help="rk4, or rk45 (SciPy, slow).")] = "rk4",
    workers: WorkersOption = None,
    address: AddressOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate true states and their observations.

    Example: `tf4dvar simulate l63 --windows 200 --protocol C --seed 7 --out windows.nc`

    With workers the file is the same.
    """
    check_output(out, force)
    check_workers(workers, address)
    model = system_by_name(system)
    plan = protocol_plan(system, protocol)
    with with_workers(workers, address) if workers else nullcontext(windows_from) as simulated:
        dataset = simulate_dataset(model, plan, windows, steps, seed, integrator, simulated)
    write_dataset(dataset, out, force)
    observed = int(dataset["observations"].notnull().sum())
    report({"out": str(out), "windows": windows, "observations": observed}, as_json)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="Name of an experiment, as l63-sup-rk4-conv.")],
    out: Annotated[Path, typer.Option("--out", help="Run directory.")],
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs in all.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Time budget; with --epochs, whichever is used up first.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="K throughout, in place of its schedule.")
    ] = None,
    windows: Annotated[
        int | None, typer.Option(min=1, help="Training windows, in place of its own number.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of data and initial weights.")] = 0,
    resume: Annotated[bool, typer.Option(help="Continue a training that was stopped.")] = False,
    workers: WorkersOption = None,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train an experiment into a run directory.

    Example: `tf4dvar train l63-sup-rk4-conv --out runs/x --minutes 20`

    Workers share every batch: with as many epochs the result is the same.
    """
    check_workers(workers, address)
    if workers and minutes is not None:
        raise InputError(
            "--minutes follows one machine's clock, which workers do not share; give --epochs."
        )
    load_tensorflow()
    from tf4dvar.experiments import experiment_by_name
    from tf4dvar.scale.training import train_with_workers
    from tf4dvar.training import learned_weights
    from tf4dvar.training import train as run_training

    experiment = experiment_by_name(name)
    options = (iterations, windows, seed, resume)
    # With --json the standard output is one document: the progress goes to the other stream.
    stdout, sys.stdout = sys.stdout, sys.stderr if as_json else sys.stdout
    try:
        if workers:
            model = train_with_workers(experiment, out, workers, address, epochs, *options)
        else:
            model = run_training(experiment, out, epochs, minutes, *options, verbose())
    finally:
        sys.stdout = stdout
    parameters = learned_weights(experiment, model)
    report({"run": str(out), "iterations": model.iterations, "parameters": parameters}, as_json)


@app.command()
def evaluate(model: ModelArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Score a model on windows whose truth is known.

    Example: `tf4dvar evaluate runs/x --data windows.nc --json`
    """
    load_tensorflow()
    from tf4dvar.evaluation.scores import evaluate as score_model
    from tf4dvar.evaluation.scores import warn_of_training_windows
    from tf4dvar.models import load_model

    loaded, dataset = load_model(model), read_windows(data)
    warn_of_training_windows(model, dataset)
    report(score_model(loaded, dataset), as_json)


@app.command()
def plot(
    data: DataOption,
    states: Annotated[list[Path], typer.Option("--states", help="May be given several times.")],
    out: OutOption,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw example windows and error densities.

    Example: `tf4dvar plot --data windows.nc --states a.nc --states b.nc --out figure.png`
    """
    from tf4dvar.evaluation.plots import plot_reconstructions

    check_output(out, force)
    dataset = read_windows(data)
    reconstructions = {}
    for path in states:
        reconstructions[path.stem] = read_states(path, dataset)
    figure = plot_reconstructions(dataset, reconstructions)
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
