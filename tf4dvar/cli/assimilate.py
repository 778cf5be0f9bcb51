"""`tf4dvar assimilate METHOD`: reconstruct windows, a series or maps by a classical method."""

from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import typer
import xarray as xr

from tf4dvar.classical import METHODS, Analysis
from tf4dvar.classical.fields import FIELD_METHODS
from tf4dvar.cli.common import (
    SETTINGS,
    ForceOption,
    Group,
    JsonOption,
    NoiseVarianceOption,
    OutOption,
    SystemOption,
    is_given,
    refuse_given,
    report,
    system_of,
    with_options,
)
from tf4dvar.cli.data import DataFile, DataOption, WindowOption, opens_files, write_series
from tf4dvar.cli.fields import assimilate_fields
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
    **SETTINGS,
)

FirstGuessOption = Annotated[
    Path | None,
    typer.Option(
        help="In place of interpolation: a file of states, or a model (a run directory, a .keras "
        "file, a published model's name) that reconstructs them first."
    ),
]


OF_SERIES = ("system", "window")
OF_FIELDS = ("states",)
StatesOption = Annotated[
    str | None,
    typer.Option("--states", help="Of maps: file of whole fields, for a method that learns."),
]


def command_of(name: str) -> Callable[..., None]:
    """The command of a method: its settings are the options, with their help and bounds.

    Args:
        name: in `METHODS`, for windows and series, in `FIELD_METHODS`, for maps, or in both.
    """
    method, of_fields = METHODS.get(name), FIELD_METHODS.get(name)
    kinds = [each for each in (method, of_fields) if each is not None]

    def command(
        context: typer.Context,
        data: DataFile,
        out: Path,
        force: bool,
        as_json: bool,
        noise_variance: float | None,
        first_guess: Path | None = None,
        **given: Any,
    ) -> None:
        check_output(out, force)
        maps = not data.is_of_windows and data.is_of_fields
        used: Any = of_fields if maps else method
        if used is None:
            raise InputError(
                f"{data.path} is {'of' if maps else 'not of'} maps; expected one of the methods "
                f"for it: {', '.join(FIELD_METHODS if maps else METHODS)}."
            )
        own = {each.name for each in used.settings()}
        unused = {each.name for kind in kinds for each in kind.settings()} - own
        unused |= {*(OF_SERIES if maps else OF_FIELDS)} - own
        if not used.takes_first_guess:
            unused.add("first_guess")
        refuse_given(context, unused, f"{data.path} has no use for them.")
        # Where series and maps share an option, each has a default of its own.
        chosen = used(**{name: given[name] for name in own if is_given(context, name)})
        if maps:
            beside = given.get("states"), first_guess
            assimilate_fields(chosen, data.members(), noise_variance, *beside, out, as_json)
            return
        system = None if given["system"] is None else system_of(given["system"])
        told = chosen, system, noise_variance
        if data.is_of_windows:
            _on_windows(*told, data.windows(), first_guess, out, force, as_json)
        elif first_guess is None:
            known = () if system is None else system.covariates
            members = data.members(covariates=known)
            _on_series(*told, members, given["window"], out, force, as_json)
        else:
            raise InputError("--first-guess is for files of windows; expected none with a series.")

    files = {method: "windows.nc --out states.nc", of_fields: "maps.nc --out filled.nc"}
    examples = [f"`tf4dvar assimilate {name} --data {files[kind]}`" for kind in kinds]
    told = [each.summary() for each in kinds] + [f"Example: {each}" for each in examples]
    command.__doc__ = "\n\n".join(told)
    options: dict[str, tuple[Any, Any]] = {
        "context": (typer.Context, Parameter.empty),
        "data": (DataOption, Parameter.empty),
        "out": (OutOption, Parameter.empty),
    }
    for kind in kinds:
        hints = get_type_hints(kind)
        for each in kind.settings():
            option = typer.Option(help=_help(each.name, kinds), min=each.metadata["at_least"])
            options.setdefault(
                each.name, (Annotated[on_the_line(hints[each.name]), option], each.default)
            )
    if any(kind.takes_first_guess for kind in kinds):
        options["first_guess"] = FirstGuessOption, None
    if method:
        options |= {"system": (SystemOption, None), "window": (WindowOption, WINDOW)}
    if of_fields and of_fields.takes_states:
        options["states"] = StatesOption, None
    options["noise_variance"] = NoiseVarianceOption, None
    options |= {"force": (ForceOption, False), "as_json": (JsonOption, False)}
    return opens_files(with_options(command, options))


def _help(name: str, kinds: list[Any]) -> str:
    """What a setting is; with a method of series beside that of maps, what it is of each.

    Args:
        name: of the setting.
        kinds: one method, or that of series and that of maps.
    """
    of = [{each.name: each for each in kind.settings()} for kind in kinds]
    if name not in of[0]:
        return f"Of maps: {of[1][name].metadata['help']}"
    own = str(of[0][name].metadata["help"])
    if len(of) == 1 or name not in of[1]:
        return own
    told, default = of[1][name].metadata["help"], of[1][name].default
    if told == own and default == of[0][name].default:
        return own
    shared = f"{own} Of maps {default} by default"
    return f"{shared}." if told == own else f"{shared}: {told}"


def on_the_line(hint: Any) -> Any:
    """The type of an option: an array cannot be written there.

    Args:
        hint: of a setting.
    """
    if get_origin(hint) is Literal:
        return hint
    return Union[tuple(each for each in get_args(hint) or (hint,) if each is not np.ndarray)]  # noqa: UP007


for each in METHODS | FIELD_METHODS:
    assimilate.command(each)(command_of(each))


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


def _on_series(method, system, noise_variance, members, window, out, force, as_json):
    """Windows that overlap by a quarter, blended; beside a variable its error, if it is told."""
    overlap = window // 4
    cut = members.cut(window, overlap)
    ordered, analysis = _analysed(method, system, noise_variance, cut)

    layout = members.first.layout
    order = [ordered["component"].values.tolist().index(name) for name in layout.variables]

    def slabs(windows):
        of_members = np.split(windows[..., order], len(members.series))
        return members.joined(
            series.restored(series.patches(window, overlap).join([each]))
            for series, each in zip(members.series, of_members, strict=True)
        )

    written = slabs(analysis.states)
    like = members.like
    if analysis.spread is not None:
        errors = slabs(analysis.spread)
        written = (with_errors(*each) for each in zip(written, errors, strict=True))
        like = with_errors(like, like)
    write_series(like, written, layout.time, out, force)
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
    from tf4dvar.evaluation.reconstruction import reconstruct
    from tf4dvar.models import load_model
    from tf4dvar.models.loading import is_model

    if is_model(path):
        return reconstruct(load_model(path), source).states.astype("float64")
    return read_states(path, source)
