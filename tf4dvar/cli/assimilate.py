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
    ForceOption,
    Group,
    JsonOption,
    NoiseVarianceOption,
    OutOption,
    SystemOption,
    report,
    system_of,
)
from tf4dvar.cli.data import DataFile, DataOption, WindowOption, opens_files, write_series
from tf4dvar.cli.progress import progress_bar
from tf4dvar.data import DIMS, like, read_states, states_dataset, write_dataset
from tf4dvar.data.series import with_errors
from tf4dvar.data.signature import WINDOW
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow
from tf4dvar.storage import check_output

assimilate = typer.Typer(
    help="Reconstruct windows by a classical method, with the dynamics of their system.",
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
        data: DataFile,
        out: Path,
        force: bool,
        as_json: bool,
        system: str | None,
        noise_variance: float | None,
        window: int,
        first_guess: Path | None = None,
        **settings: Any,
    ) -> None:
        check_output(out, force)
        nature = None if system is None else system_of(system)
        known = () if nature is None else nature.covariates
        given = method(**settings), nature, noise_variance
        if data.is_of_windows:
            _on_windows(*given, data.windows(), first_guess, out, force, as_json)
        elif first_guess is None:
            _on_series(*given, data.series(covariates=known), window, out, force, as_json)
        else:
            raise InputError("--first-guess is for files of windows; expected none with a series.")

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
    options |= {
        "system": (SystemOption, None),
        "noise_variance": (NoiseVarianceOption, None),
        "window": (WindowOption, WINDOW),
    }
    options |= {"force": (ForceOption, False), "as_json": (JsonOption, False)}
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {name: annotation for name, (annotation, _) in options.items()}
    return opens_files(command)


def _on_the_line(hint: Any) -> Any:
    """The type of an option: an array cannot be written there."""
    return Union[tuple(each for each in get_args(hint) or (hint,) if each is not np.ndarray)]  # noqa: UP007


for each in METHODS.values():
    assimilate.command(each.name)(command_of(each))


def _analysed(method, system, noise_variance, source, first_guess=None):
    load_tensorflow()
    from tf4dvar.evaluation.comparison import problem_of
    from tf4dvar.evaluation.scores import in_order

    ordered = in_order(source, system)
    guess = None if first_guess is None else _states(first_guess, ordered)
    problem = problem_of(ordered, guess, system, noise_variance, method.needs_dynamics)
    with progress_bar(method.name) as progress:
        return ordered, method.analyse(problem, progress)


def _on_windows(method, system, noise_variance, source, first_guess, out, force, as_json):
    ordered, analysis = _analysed(method, system, noise_variance, source, first_guess)
    states = like(states_and_spread(ordered, analysis, method.name), source)
    states["cost"] = ("window", analysis.costs, {"long_name": "cost of the method"})
    states["iterations"] = ("window", analysis.iterations)
    states["converged"] = ("window", analysis.converged.astype(np.int8))
    write_dataset(states, out, force)
    report({"out": str(out), **_summary(analysis)}, as_json)


def _on_series(method, system, noise_variance, series, window, out, force, as_json):
    """Windows that overlap by a quarter, blended; beside a variable its error, if it is told."""
    overlap = window // 4
    cut = series.cut(window, overlap)
    ordered, analysis = _analysed(method, system, noise_variance, cut)

    order = [ordered["component"].values.tolist().index(name) for name in series.layout.variables]

    def slabs(windows):
        return series.restored(series.patches(window, overlap).join([windows[..., order]]))

    written = slabs(analysis.states)
    like = series.like
    if analysis.spread is not None:
        errors = slabs(analysis.spread)
        written = (with_errors(*each) for each in zip(written, errors, strict=True))
        like = with_errors(like, like)
    write_series(like, written, series.layout.time, out, force)
    report({"out": str(out), **_summary(analysis)}, as_json)


def _summary(analysis):
    return {
        "windows": len(analysis.states),
        "converged": int(analysis.converged.sum()),
        "mean_cost": float(analysis.costs.mean()),
        "mean_iterations": float(analysis.iterations.mean()),
        "seconds_per_window": analysis.seconds_per_window,
    }


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
