"""`tf4dvar assimilate METHOD`: reconstruct windows by a classical method."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import xarray as xr

from tf4dvar.cli_common import (
    DataOption,
    ForceOption,
    Group,
    JsonOption,
    OutOption,
    report,
)
from tf4dvar.data import DIMS, check_output, read_windows, states_dataset, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow

assimilate = typer.Typer(
    help="Reconstruct windows by a classical method, with the true dynamics.",
    no_args_is_help=True,
    cls=Group,
)

StartOption = Annotated[
    Path | None,
    typer.Option(
        help="States to start from instead of interpolation: a file of them, or a model (run "
        "directory or .keras file) that reconstructs them first."
    ),
]
ObservationWeightOption = Annotated[float, typer.Option(help="lambda_1 of eq. 4.")]
PriorWeightOption = Annotated[float, typer.Option(help="lambda_2 of eq. 4.")]
ModelVarianceOption = Annotated[
    float | None,
    typer.Option(
        help="Variance of the model error: weigh the terms by error covariances, with the "
        "climatology as background, instead of averaging them."
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Same seed, same states.")]


@assimilate.command()
def fsgd(
    data: DataOption,
    out: OutOption,
    steps: Annotated[int, typer.Option(min=1, help="The paper takes over 150,000.")] = 150_000,
    line_search: Annotated[bool, typer.Option(help="A step of its own for each window.")] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fixed-step gradient descent of the variational cost.

    Example: `tf4dvar assimilate fsgd --data windows.nc --steps 5000 --out states.nc`
    """
    _run("fsgd", data, out, force, as_json, steps=steps, line_search=line_search)


@assimilate.command("weak-lbfgs")
def weak_lbfgs(
    data: DataOption,
    out: OutOption,
    observation_weight: ObservationWeightOption = 0.01,
    prior_weight: PriorWeightOption = 1.0,
    model_variance: ModelVarianceOption = None,
    start: StartOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Weak-constraint 4DVar by L-BFGS.

    Example: `tf4dvar assimilate weak-lbfgs --data windows.nc --out states.nc`
    """
    _run(
        *("weak-lbfgs", data, out, force, as_json, start),
        observation_weight=observation_weight,
        prior_weight=prior_weight,
        model_variance=model_variance,
    )


@assimilate.command("weak-gauss-newton")
def weak_gauss_newton(
    data: DataOption,
    out: OutOption,
    observation_weight: ObservationWeightOption = 0.01,
    prior_weight: PriorWeightOption = 1.0,
    model_variance: ModelVarianceOption = None,
    start: StartOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Weak-constraint 4DVar by Gauss-Newton steps: the same cost, faster.

    Example: `tf4dvar assimilate weak-gauss-newton --data windows.nc --out states.nc`
    """
    _run(
        *("weak-gauss-newton", data, out, force, as_json, start),
        observation_weight=observation_weight,
        prior_weight=prior_weight,
        model_variance=model_variance,
    )


@assimilate.command("weak-annealed")
def weak_annealed(
    data: DataOption,
    out: OutOption,
    first: Annotated[
        float | None,
        typer.Option(help="First variance of the model error: 10, or 0.1 from a start."),
    ] = None,
    last: Annotated[
        float | None,
        typer.Option(help="Last variance of the model error: 1e-6, or 1e-4 from a start."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Gauss-Newton steps in all, at most; the stages share them."),
    ] = None,
    start: StartOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Weak-constraint 4DVar whose model error falls to almost nothing.

    Example: `tf4dvar assimilate weak-annealed --data windows.nc --start enks.nc --out states.nc`
    """
    _run("weak-annealed", data, out, force, as_json, start, first=first, last=last, steps=steps)


@assimilate.command()
def strong(
    data: DataOption, out: OutOption, force: ForceOption = False, as_json: JsonOption = False
) -> None:
    """Strong-constraint 4DVar from the mean of the climatology.

    Example: `tf4dvar assimilate strong --data windows.nc --out states.nc`
    """
    _run("strong", data, out, force, as_json)


@assimilate.command("strong-multistart")
def strong_multistart(
    data: DataOption,
    out: OutOption,
    starts: Annotated[int, typer.Option(min=1, help="Number of starts.")] = 10,
    seed: SeedOption = 0,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Strong-constraint 4DVar from several starts, the lowest cost kept.

    Example: `tf4dvar assimilate strong-multistart --data windows.nc --out states.nc`
    """
    _run("strong-multistart", data, out, force, as_json, starts=starts, seed=seed)


@assimilate.command("strong-quasistatic")
def strong_quasistatic(
    data: DataOption, out: OutOption, force: ForceOption = False, as_json: JsonOption = False
) -> None:
    """Strong-constraint 4DVar over a window that grows step by step.

    Example: `tf4dvar assimilate strong-quasistatic --data windows.nc --out states.nc`
    """
    _run("strong-quasistatic", data, out, force, as_json)


@assimilate.command()
def enks(
    data: DataOption,
    out: OutOption,
    members: Annotated[int, typer.Option(min=2, help="Size of the ensemble.")] = 1000,
    inflation: Annotated[float, typer.Option(help="Of the spread, at each analysis.")] = 1.02,
    square_root: Annotated[bool, typer.Option(help="No perturbed observations.")] = False,
    localisation: Annotated[
        float | None, typer.Option(help="Components beyond which covariances are zero.")
    ] = None,
    seed: SeedOption = 0,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ensemble Kalman smoother, with its spread.

    Example: `tf4dvar assimilate enks --data windows.nc --members 1000 --out states.nc`
    """
    _run(
        *("enks", data, out, force, as_json),
        members=members,
        inflation=inflation,
        square_root=square_root,
        localisation=localisation,
        seed=seed,
    )


@assimilate.command()
def oi(
    data: DataOption,
    out: OutOption,
    training_windows: Annotated[
        int, typer.Option(min=2, help="Simulated windows that give the covariance.")
    ] = 4000,
    seed: SeedOption = 0,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Optimal interpolation with a space-time covariance.

    Example: `tf4dvar assimilate oi --data windows.nc --out states.nc`
    """
    _run("oi", data, out, force, as_json, training_windows=training_windows, seed=seed)


def _run(
    method: str,
    data: Path,
    out: Path,
    force: bool,
    as_json: bool,
    start: Path | None = None,
    **settings: Any,
) -> None:
    check_output(out, force)
    source = read_windows(data)
    load_tensorflow()
    from tf4dvar.classical import assimilate as run_method
    from tf4dvar.comparison import task_of

    task = task_of(source, None if start is None else _first_states(start, source))
    with progress_bar(method) as progress:
        analysis = run_method(method, task, progress, **settings)
    states = states_dataset(source, analysis.states, method=method)
    units = {"units": source["observations"].attrs.get("units", "1")}
    if analysis.spread is not None:
        states["spread"] = (DIMS, analysis.spread, {"long_name": "standard deviation", **units})
    states["cost"] = ("window", analysis.costs, {"long_name": "cost of the method"})
    states["iterations"] = ("window", analysis.iterations)
    states["converged"] = ("window", analysis.converged.astype(np.int8))
    write_dataset(states, out, force)
    report(
        {
            "out": str(out),
            "windows": len(analysis.states),
            "converged": int(analysis.converged.sum()),
            "mean_cost": float(analysis.costs.mean()),
            "mean_iterations": float(analysis.iterations.mean()),
            "seconds_per_window": analysis.seconds_per_window,
        },
        as_json,
    )


def _first_states(start: Path, source: xr.Dataset) -> np.ndarray:
    """The states of a file, or those that a model makes of the observations."""
    if start.is_dir() or start.suffix == ".keras":
        from tf4dvar.evaluation import load_model, reconstruct

        return reconstruct(load_model(start), source["observations"].values).states.astype(
            "float64"
        )
    states = read_windows(start, "state")["state"].values
    if states.shape != source["observations"].shape:
        raise InputError(
            f"{start} has states of shape {states.shape}; "
            f"the data has windows of shape {source['observations'].shape}."
        )
    return states


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the error stream, moved by a function of what is done and its total."""
    with ExitStack() as stack:
        bars: list[Any] = []

        def progress(done: int, total: int) -> None:
            # Not drawn before there is progress: an error that comes first stays one line.
            if not bars:
                bar = typer.progressbar(length=total, label=label, file=sys.stderr)
                bars.append(stack.enter_context(bar))
            bars[0].length = total
            bars[0].update(done - bars[0].pos)

        yield progress
