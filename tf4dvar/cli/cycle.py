"""`tf4dvar cycle METHOD`: filter a series of any length, or many side by side."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from inspect import Parameter
from itertools import tee
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import numpy as np
import typer
import xarray as xr

from tf4dvar.classical import METHODS
from tf4dvar.classical.cycled import FILTERS, Filter
from tf4dvar.cli.assimilate import on_the_line
from tf4dvar.cli.common import (
    SETTINGS,
    ForceOption,
    Group,
    JsonOption,
    NoiseVarianceOption,
    OutOption,
    SystemOption,
    report,
    system_of,
    with_options,
)
from tf4dvar.cli.data import DataFile, DataOption, opens_files, write_series
from tf4dvar.cli.progress import progress_bar
from tf4dvar.cycling import WindowFilter
from tf4dvar.cycling.cycles import Pieces, cycle
from tf4dvar.data import DIMS, Signature, like, states_dataset, write_dataset
from tf4dvar.data.covariates import COVARIATE, COVARIATES
from tf4dvar.data.series import with_errors
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow
from tf4dvar.storage import check_output

# Steps of a piece: of forty components and a hundred series, 64 MiB of estimates.
LENGTH = 1000

cycles = typer.Typer(
    help="Filter a series of any length: the state of now from what was observed until now.",
    no_args_is_help=True,
    cls=Group,
    **SETTINGS,
)


def command_of(name: str) -> Callable[..., None]:
    """The command of a filter: its settings are the options, with their help and bounds.

    Args:
        name: in `FILTERS`, or of a method in `METHODS` that takes a background.
    """
    kinds: list[Any] = [FILTERS[name]] if name in FILTERS else [METHODS[name], WindowFilter]

    def made(settings: dict[str, Any]) -> Filter:
        if len(kinds) == 1:
            return kinds[0](**settings)
        own = {each.name for each in kinds[0].settings()}
        method = kinds[0](**{key: of for key, of in settings.items() if key in own})
        of_windows = {each.name for each in WindowFilter.settings()}
        rest = {key: of for key, of in settings.items() if key in of_windows}
        return WindowFilter(method=method, **rest)

    def command(
        data: DataFile,
        out: Path,
        noise_variance: float | None,
        restart: bool,
        resume: bool,
        force: bool,
        as_json: bool,
        system: str | None = None,
        **settings: Any,
    ) -> None:
        check_output(out, force)
        method = made(settings)
        nature = None if system is None else system_of(system)
        load_tensorflow()
        asked = {
            "method": name,
            "settings": settings,
            "data": str(data.path),
            "system": system,
            "noise_variance": noise_variance,
            "restart": restart,
        }
        kept = Pieces(Path(f"{out}.pieces"), method.kind, asked, resume)
        run = _Run(method, nature, noise_variance, restart, kept)
        if data.is_of_windows:
            # Windows of a method are of a series, and each of the file is one.
            _on_windows(run, data.windows(of_series=()), out, force)
        else:
            members = data.members(covariates=run.covariates)
            if members.of_fields:
                raise InputError(
                    f"{data.path} is of maps; expected a series or windows. `tf4dvar assimilate` "
                    "and `tf4dvar fill` are for maps."
                )
            _on_series(run, members, out, force)
        kept.remove()
        report({"out": str(out), **run.told()}, as_json)

    example = f"`tf4dvar cycle {name} --data long.nc --out analyses.nc`"
    command.__doc__ = f"{kinds[0].summary()}\n\nExample: {example}"
    options: dict[str, tuple[Any, Any]] = {
        "data": (DataOption, Parameter.empty),
        "out": (OutOption, Parameter.empty),
    }
    for kind in kinds:
        hints = get_type_hints(kind)
        for each in kind.settings():
            option = typer.Option(help=each.metadata["help"], min=each.metadata["at_least"])
            options[each.name] = Annotated[on_the_line(hints[each.name]), option], each.default
    if kinds[-1].needs_dynamics:
        options["system"] = SystemOption, None
    options |= {
        "noise_variance": (NoiseVarianceOption, None),
        "restart": (RestartOption, False),
        "resume": (ResumeOption, False),
        "force": (ForceOption, False),
        "as_json": (JsonOption, False),
    }
    return opens_files(with_options(command, options))


RestartOption = Annotated[
    bool, typer.Option("--restart", help="Begin anew with the climatology what loses the truth.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with a run that was stopped, from its last piece.")
]


for each in (*FILTERS, *(name for name, of in METHODS.items() if of.takes_background)):
    cycles.command(each)(command_of(each))


def _on_windows(run, dataset, out, force):
    """Each window is a series."""
    ordered = run.in_order(dataset)

    def piece(begin, stop):
        return ordered.isel(time=slice(begin, stop))

    pieces = run.pieces(piece, ordered.sizes["time"])
    states, spread = (np.concatenate(each, axis=1) for each in zip(*pieces, strict=True))
    found = states_dataset(ordered, states, state_std=spread, method=run.method.name)
    write_dataset(like(found, dataset), out, force)


def _on_series(run, members, out, force):
    """In the form of the file, with the error of each variable beside it."""
    members = run.members_in_order(members)
    layout = members.first.layout

    def piece(begin, stop):
        def of(values):
            return np.stack([each[begin:stop].values.astype("float64") for each in values])

        observations = [each.observations for each in members.series]
        named = {"observations": (DIMS, of(observations))}
        noise = [each.noise_variance for each in members.series]
        if noise[0] is not None:
            named["noise_variance"] = DIMS, of(noise)
        known = [each.covariates for each in members.series]
        coords = {"component": list(layout.variables)}
        if known[0] is not None:
            named[COVARIATES] = ("window", "time", COVARIATE), of(known)
            coords[COVARIATE] = known[0][COVARIATE].values
        dataset = xr.Dataset(named, coords, members.dataset.attrs)
        times = observations[0][layout.time]
        return dataset.assign_coords(time=("time", times[begin:stop].values, times.attrs))

    # Read side by side, so that one piece is held.
    count = len(members.series)
    copies = tee(run.pieces(piece, members.first.observations.shape[0]), 2 * count)
    means = _in_form(members, copies[:count], 0)
    spreads = _in_form(members, copies[count:], 1)
    whole, transforms = members.like, members.first.transforms
    slabs = map(partial(with_errors, transforms=transforms), means, spreads)
    write_series(with_errors(whole, whole, transforms), slabs, layout.time, out, force)


def _in_form(members, copies, which):
    """Means or spreads in the form of the file, piece by piece.

    Args:
        members: of the file.
        copies: of the pieces, for each member.
        which: of a pair.
    """

    def of(number):
        return (pair[which][number] for pair in copies[number])

    return members.joined(
        [series.restored(of(number)) for number, series in enumerate(members.series)]
    )


class _Run:
    """A run over pieces of a data set, and what is told of it.

    A model knows its data by the signature of its training, dynamics theirs by the system's.
    """

    def __init__(self, method, system, noise_variance, restart, kept):
        self.method, self.system, self.kept = method, system, kept
        self.model = None if method.needs_dynamics else method.network
        if self.model is not None:
            self.signature, self.covariates = self.model.signature, self.model.covariate_names
        elif system is not None:
            self.signature, self.covariates = Signature.of_system(system), system.covariates
        else:
            self.signature, self.covariates = None, ()
        self.noise_variance, self.restart = noise_variance, restart
        self.misfits, self.lost, self.seconds = [], 0, 0.0

    def in_order(self, dataset):
        """Windows with their components as they are known here."""
        from tf4dvar.evaluation.scores import in_order

        if self.model is None:
            return in_order(dataset, self.system)
        if self.signature is None:
            return dataset
        return dataset.isel(self.signature.arrangement(dataset["observations"]))

    def members_in_order(self, members):
        """Likewise of series, with the transforms of a model's training."""
        from tf4dvar.models.series import members_for

        if self.model is not None:
            members = members_for(self.model, members)
        return members if self.signature is None else members.in_order_of(self.signature)

    def pieces(self, piece, steps):
        """Means and spreads, [series, time, component].

        Args:
            piece: the data set between two steps.
            steps: of all.
        """
        from tf4dvar.evaluation.comparison import problem_of, problem_with
        from tf4dvar.layers.contracts import Prior, trait

        flow = None

        def problem(begin, stop):
            nonlocal flow
            if self.model is not None:
                forced = (of for of in self.model.priors if trait(of, Prior, "covariates"))
                given = piece(begin, stop), self.noise_variance, self.covariates
                return problem_with(next(forced, None), *given)
            found = problem_of(piece(begin, stop), None, self.system, self.noise_variance)
            # One for all pieces: its derivatives are compiled once. Where none are taken the system
            # steps a few states faster.
            if self.method.needs_flow or found.system is None:
                flow = flow or found.flow
            return replace(found, flow=flow)

        started = time.perf_counter()
        with progress_bar(self.method.name) as progress:
            for done in cycle(self.method, problem, steps, LENGTH, self.kept, self.restart):
                self.misfits.append(done.misfit)
                self.lost = int(done.position.lost.sum())
                progress(sum(each.shape[1] for each in self.misfits), steps)
                yield done.mean, done.spread
        self.seconds = time.perf_counter() - started

    def told(self):
        """What the command reports."""
        misfits = np.concatenate(self.misfits, axis=1)
        return {
            "series": len(misfits),
            "times": misfits.shape[1],
            "misfit": float(np.nanmean(misfits)),
            "lost": self.lost,
            "ms_per_time": 1e3 * self.seconds / misfits.shape[1],
        }
