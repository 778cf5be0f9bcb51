"""`tf4dvar train`: an experiment, or a model of one's own data."""

import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tf4dvar.cli.common import (
    AddressOption,
    JsonOption,
    SystemOption,
    WorkersOption,
    check_workers,
    refuse_given,
    report,
    system_of,
)
from tf4dvar.cli.data import OPENING, DataFile, TransformOption, TruthOption, opens_files, pairs_of
from tf4dvar.cli.progress import verbose
from tf4dvar.data import Signature, time_step_of
from tf4dvar.data.signature import WINDOW
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow

OF_EXPERIMENTS = ("workers", "address", "windows")
OF_OWN_DATA = ("truth", "transform", "window", "overlap", "prior", "system", *OPENING)


class PriorName(StrEnum):
    """The priors of one's own data."""

    GENN = "genn"
    FLOW = "flow"


@opens_files
def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Run directory.")],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[EXPERIMENT]", help="As l63-sup-rk4-conv; none where --data is given."
        ),
    ] = None,
    data: Annotated[
        DataFile | None,
        typer.Option(
            "--data",
            parser=DataFile,
            metavar="PATH",
            help="One's own data: NetCDF file, zarr store or glob; a series, or windows.",
        ),
    ] = None,
    truth: TruthOption = None,
    transform: TransformOption = None,
    window: Annotated[
        int, typer.Option(min=4, help="Steps of the windows that a series is cut into.")
    ] = WINDOW,
    overlap: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Steps that two of them share when they are reconstructed; by default a quarter.",
        ),
    ] = None,
    prior: Annotated[
        PriorName, typer.Option(help="Of one's own data: a network, or the dynamics of --system.")
    ] = PriorName.GENN,
    system: SystemOption = None,
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
    """Train an experiment, or a model of one's own data, into a run directory.

    Example: `tf4dvar train l63-sup-rk4-conv --out runs/x --minutes 20`

    Of one's own data the last 15 % of the times, or of the windows, are for validation. Without
    true states some observations are withheld, and the errors on them are printed beside those of
    linear interpolation.

    Example: `tf4dvar train --data stations.nc --out runs/stations --minutes 2`

    Workers share every batch of an experiment: with as many epochs the result is the same.
    """
    check_workers(workers, address)
    if name and data:
        raise InputError(
            f"Received the experiment {name} and --data {data.path}; expected one of them."
        )
    if workers and minutes is not None:
        raise InputError(
            "--minutes follows one machine's clock, which workers do not share; give --epochs."
        )
    load_tensorflow()
    if data is not None:
        refuse_given(context, OF_EXPERIMENTS, "expected these of an experiment, not with --data.")
        if (prior is PriorName.FLOW) != (system is not None):
            raise InputError(
                f"Received --prior {prior.value} and --system {system}; expected a system with "
                "--prior flow, and none with genn."
            )
        settings = {"epochs": epochs, "minutes": minutes, "iterations": iterations, "seed": seed}
        settings |= {"window": window, "overlap": overlap, "resume": resume}
        with _progress_beside(as_json):
            values = _train_on(data, truth, transform, system, out, settings)
        report(values, as_json)
        return
    if name is None:
        raise InputError("Received neither an experiment nor --data; expected one of them.")
    refuse_given(
        context, OF_OWN_DATA, f"the experiment {name} has its own; expected these with --data."
    )
    from tf4dvar.experiments import experiment_by_name
    from tf4dvar.scale.training import train_with_workers
    from tf4dvar.training import learned_weights
    from tf4dvar.training import train as run_training

    experiment = experiment_by_name(name)
    options = (iterations, windows, seed, resume)
    with _progress_beside(as_json):
        if workers:
            model = train_with_workers(experiment, out, workers, address, epochs, *options)
        else:
            model = run_training(experiment, out, epochs, minutes, *options, verbose())
    parameters = learned_weights(experiment, model)
    report({"run": str(out), "iterations": model.iterations, "parameters": parameters}, as_json)


def _train_on(data, truth, transform, system, out, settings):
    from tf4dvar.evaluation.scores import in_order
    from tf4dvar.experiments.dynamics import true_flow
    from tf4dvar.training import train_on

    transforms = dict(pairs_of("transform", transform or []))
    nature = None if system is None else system_of(system)
    flow = true = None
    if data.is_of_windows:
        given = dataset = data.windows()
        given = given if nature is None else in_order(given, nature)
    else:
        given = data.members(covariates=() if nature is None else nature.covariates)
        given = given.with_transforms(transforms)
        given = given if nature is None else given.in_order_of(Signature.of_system(nature))
        dataset = given.first.dataset
        if truth is not None:
            true = data.beside(truth).members().with_transforms(transforms)
    if nature is not None:
        flow = true_flow(nature.with_time_step(time_step_of(dataset, nature)))
    told = {"data": data.path, "truth": truth, "system": system, "transforms": transforms}
    model, errors = train_on(given, out, true, flow=flow, told=told, verbose=verbose(), **settings)
    return {
        "run": str(out),
        "iterations": model.iterations,
        "parameters": model.count_params(),
        **{f"rmse {name}": error._asdict() for name, error in errors.items()},
    }


@contextmanager
def _progress_beside(as_json: bool):
    """With --json the standard output is one document: the progress goes to the other stream."""
    stdout, sys.stdout = sys.stdout, sys.stderr if as_json else sys.stdout
    try:
        yield
    finally:
        sys.stdout = stdout
