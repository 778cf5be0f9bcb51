"""The command line: `tf4dvar --help`."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tf4dvar.cli_paper import experiments, figures, tables
from tf4dvar.data import (
    atomic_path,
    check_output,
    protocol_plan,
    read_windows,
    simulate_dataset,
    states_dataset,
    write_dataset,
)
from tf4dvar.errors import InputError
from tf4dvar.systems import system_by_name

# What needs TensorFlow is imported by the commands that use it: `--help` should not wait for it.


def _load_tensorflow() -> None:
    """Import TensorFlow in silence: its start-up messages would bury one clear line.

    It writes them from C++ before its own log level counts, hence the file descriptor.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    stderr = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        import tensorflow as tf

        tf.constant(0.0)  # looks for GPUs, and says so
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


class _Group(TyperGroup):
    """Turns a user's mistake into one line and exit code 2."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (InputError, OSError) as error:
            typer.echo(f"Error: {error}", err=True)
            raise SystemExit(2) from error


app = typer.Typer(
    cls=_Group,
    help="Learned variational data assimilation: simulate, train, reconstruct, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
assimilate = typer.Typer(
    help="Reconstruct windows by a classical method.", no_args_is_help=True, cls=_Group
)
app.add_typer(assimilate, name="assimilate")
for command in (experiments, tables, figures):
    app.command()(command)

DataOption = Annotated[Path, typer.Option("--data", help="NetCDF file of windows.")]
OutOption = Annotated[Path, typer.Option("--out", help="File to write.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite an existing output.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelArgument = Annotated[Path, typer.Argument(help="A run directory, or a .keras file.")]


def _report(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        typer.echo(f"{name:22} {shown}")


@app.command()
def simulate(
    system: Annotated[str, typer.Argument(help="l63 or l96")],
    out: OutOption,
    windows: Annotated[int, typer.Option(help="Number of windows.")] = 200,
    steps: Annotated[int, typer.Option(help="Times in each window.")] = 200,
    protocol: Annotated[
        str | None, typer.Option(help="T or C; by default C for l63, T for l96.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same file.")] = 0,
    integrator: Annotated[str, typer.Option(help="rk4, or rk45 (SciPy, slow).")] = "rk4",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate true states and their observations.

    Example: `tf4dvar simulate l63 --windows 200 --protocol C --seed 7 --out windows.nc`
    """
    check_output(out, force)
    model = system_by_name(system)
    plan = protocol_plan(system, protocol)
    dataset = simulate_dataset(model, plan, windows, steps, seed, integrator)
    write_dataset(dataset, out, force)
    observed = int(dataset["observations"].notnull().sum())
    _report({"out": str(out), "windows": windows, "observations": observed}, as_json)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="Name of an experiment, l63-sup-rk4-conv say.")],
    out: Annotated[Path, typer.Option("--out", help="Run directory.")],
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs in all.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Time budget.")] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="K throughout, in place of its schedule.")
    ] = None,
    windows: Annotated[
        int | None, typer.Option(min=1, help="Training windows, in place of its own number.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of data and initial weights.")] = 0,
    resume: Annotated[bool, typer.Option(help="Continue a training that was stopped.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train an experiment into a run directory.

    Example: `tf4dvar train l63-sup-rk4-conv --out runs/x --minutes 20`
    """
    _load_tensorflow()
    from tf4dvar.experiments import experiment_by_name
    from tf4dvar.training import train as run_training

    experiment = experiment_by_name(name)
    # With --json the standard output is one document: the progress goes to the other stream.
    stdout, sys.stdout = sys.stdout, sys.stderr if as_json else sys.stdout
    try:
        model = run_training(experiment, out, epochs, minutes, iterations, windows, seed, resume)
    finally:
        sys.stdout = stdout
    parameters = sum(int(weight.numpy().size) for weight in model.trainable_variables)
    _report({"run": str(out), "iterations": model.iterations, "parameters": parameters}, as_json)


@app.command()
def evaluate(model: ModelArgument, data: DataOption, as_json: JsonOption = False) -> None:
    """Score a model on windows whose truth is known.

    Example: `tf4dvar evaluate runs/x --data windows.nc --json`
    """
    _load_tensorflow()
    from tf4dvar.evaluation import evaluate as score_model
    from tf4dvar.evaluation import load_model

    _report(score_model(load_model(model), read_windows(data)), as_json)


@app.command()
def reconstruct(
    model: ModelArgument,
    data: DataOption,
    out: OutOption,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Reconstruct the states of observed windows with a model.

    Example: `tf4dvar reconstruct runs/x --data windows.nc --out states.nc`
    """
    _load_tensorflow()
    from tf4dvar.evaluation import load_model
    from tf4dvar.evaluation import reconstruct as reconstruct_states

    check_output(out, force)
    source = read_windows(data)
    states, seconds = reconstruct_states(load_model(model), source["observations"].values)
    write_dataset(states_dataset(source, states, method=str(model)), out, force)
    _report({"out": str(out), "windows": len(states), "seconds_per_window": seconds}, as_json)


@assimilate.command()
def fsgd(
    data: DataOption,
    out: OutOption,
    steps: Annotated[int, typer.Option(min=1, help="The paper takes over 150,000.")] = 150_000,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fixed-step gradient descent of the variational cost with the true RK4 prior.

    Example: `tf4dvar assimilate fsgd --data windows.nc --steps 5000 --out states.nc`
    """
    _load_tensorflow()
    from tf4dvar.classical import fixed_step_descent
    from tf4dvar.experiments import true_flow

    check_output(out, force)
    source = read_windows(data)
    flow = true_flow(source.attrs.get("system", ""), dtype="float64")
    with typer.progressbar(length=steps, label="fsgd", file=sys.stderr) as bar:
        descent = fixed_step_descent(
            source["observations"].values,
            flow,
            steps,
            progress=lambda done, _: bar.update(done - bar.pos),
        )
    write_dataset(states_dataset(source, descent.states, method=f"fsgd, {steps} steps"), out, force)
    _report({"out": str(out), "windows": len(descent.states)}, as_json)


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
    from tf4dvar.plots import plot_reconstructions

    check_output(out, force)
    dataset = read_windows(data)
    reconstructions = {}
    for path in states:
        state = read_windows(path, "state")["state"]
        if state.shape != dataset["observations"].shape:
            raise InputError(
                f"{path} has states of shape {state.shape}; "
                f"{data} has windows of shape {dataset['observations'].shape}."
            )
        reconstructions[path.stem] = state.values
    figure = plot_reconstructions(dataset, reconstructions)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, dpi=150)
    _report({"out": str(out)}, as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")] = Path("demo"),
    windows: Annotated[int, typer.Option(min=2, help="Held-out windows.")] = 200,
    minutes: Annotated[float, typer.Option(min=0.0, help="Training time.")] = 3.0,
) -> None:
    """Simulate, train, reconstruct held-out windows, compare and draw.

    Example: `tf4dvar demo --out demo --minutes 3`
    """
    _load_tensorflow()
    from tf4dvar.demo import run_demo

    run_demo(out, windows, minutes)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    app()
