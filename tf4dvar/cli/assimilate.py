"""`tf4dvar assimilate METHOD`: reconstruct windows by a classical method."""

from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_type_hints

import numpy as np
import typer
import xarray as xr

from tf4dvar.classical import METHODS, Analysis, Method
from tf4dvar.cli.common import (
    DataOption,
    ForceOption,
    Group,
    JsonOption,
    OutOption,
    report,
)
from tf4dvar.cli.progress import progress_bar
from tf4dvar.data import DIMS, like, read_states, read_windows, states_dataset, write_dataset
from tf4dvar.runtime import load_tensorflow
from tf4dvar.storage import check_output

assimilate = typer.Typer(
    help="Reconstruct windows by a classical method, with the true dynamics.",
    no_args_is_help=True,
    cls=Group,
)

FirstGuessOption = Annotated[
    Path | None,
    typer.Option(
        help="In place of interpolation: a file of states, or a model (a run directory, a .keras "
        "file, a published model's name) that reconstructs them first."
    ),
]


def command_of(method: type[Method]) -> Callable[..., None]:
    """The command of a method: its settings are the options, with their help and bounds.

    Args:
        method: an entry of `METHODS`.
    """

    def command(
        data: Path,
        out: Path,
        force: bool,
        as_json: bool,
        first_guess: Path | None = None,
        **settings: Any,
    ) -> None:
        _run(method(**settings), data, out, force, as_json, first_guess)

    example = f"`tf4dvar assimilate {method.name} --data windows.nc --out states.nc`"
    command.__doc__ = f"{method.summary()}\n\nExample: {example}"
    hints = get_type_hints(method)
    options: dict[str, tuple[Any, Any]] = {
        "data": (DataOption, Parameter.empty),
        "out": (OutOption, Parameter.empty),
    }
    for each in fields(method):
        option = typer.Option(help=each.metadata["help"], min=each.metadata["at_least"])
        options[each.name] = Annotated[_on_the_line(hints[each.name]), option], each.default
    if method.takes_first_guess:
        options["first_guess"] = FirstGuessOption, None
    options |= {"force": (ForceOption, False), "as_json": (JsonOption, False)}
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {name: annotation for name, (annotation, _) in options.items()}
    return command


def _on_the_line(hint: Any) -> Any:
    """The type of an option: an array cannot be written there."""
    return Union[tuple(each for each in get_args(hint) or (hint,) if each is not np.ndarray)]  # noqa: UP007


for each in METHODS.values():
    assimilate.command(each.name)(command_of(each))


def _run(
    method: Method, data: Path, out: Path, force: bool, as_json: bool, first_guess: Path | None
) -> None:
    check_output(out, force)
    source = read_windows(data)
    load_tensorflow()
    from tf4dvar.evaluation.comparison import problem_of
    from tf4dvar.evaluation.scores import in_order

    ordered = in_order(source)
    problem = problem_of(ordered, None if first_guess is None else _states(first_guess, ordered))
    with progress_bar(method.name) as progress:
        analysis = method.analyse(problem, progress)
    states = like(states_and_spread(ordered, analysis, method.name), source)
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


def states_and_spread(source: xr.Dataset, analysis: Analysis, method: str) -> xr.Dataset:
    """The states of an analysis and, where the method estimates it, their spread.

    Args:
        source: the windows.
        analysis: of them.
        method: its name.
    """
    states = states_dataset(source, analysis.states, method=method)
    units = {"units": source["observations"].attrs.get("units", "1")}
    if analysis.spread is not None:
        states["spread"] = (DIMS, analysis.spread, {"long_name": "standard deviation", **units})
    return states


def _states(path: Path, source: xr.Dataset) -> np.ndarray:
    """The states of a file, or those that a model makes of the observations."""
    from tf4dvar.evaluation.scores import reconstruct
    from tf4dvar.models import load_model
    from tf4dvar.models.loading import model_path

    path = model_path(path)
    if path.is_dir() or path.suffix == ".keras":
        return reconstruct(load_model(path), source).states.astype("float64")
    return read_states(path, source)
