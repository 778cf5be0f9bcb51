"""What the commands do with files of maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from tf4dvar.cli.common import report
from tf4dvar.cli.data import DataFile
from tf4dvar.cli.progress import progress_bar
from tf4dvar.data import write_slabs
from tf4dvar.data.layout import TRUTH
from tf4dvar.data.members import Members
from tf4dvar.data.series import with_errors
from tf4dvar.data.stores import open_source
from tf4dvar.data.time_step import SAME
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow

if TYPE_CHECKING:
    from tf4dvar.classical.fields import FieldMethod
    from tf4dvar.models import FourDVarNet

PageOption = Annotated[
    bool,
    typer.Option("--report", help="Of maps: write a page with a slider over time, too."),
]


def assimilate_fields(
    method: "FieldMethod",
    members: Members,
    noise_variance: float | None,
    states: str | None,
    first_guess: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Fill the maps of a file by a classical method; its error is written beside them.

    Args:
        method: with its settings.
        members: of the file.
        noise_variance: see `field_problem_of`.
        states: a file of whole fields, for a method that learns from some.
        first_guess: a file of maps, or a model that makes some, for a method that takes them.
        out: the file to write.
        as_json: how the summary is printed.
    """
    load_tensorflow()
    from tf4dvar.evaluation.field_comparison import field_problem_of

    examples = None if states is None else whole_fields(states, members)
    guesses = None if first_guess is None else _first_guess(first_guess, members)
    analyses = []
    for component, name in enumerate(members.first.layout.variables):
        given = [None if each is None else each[..., component] for each in (examples, guesses)]
        problem = field_problem_of(members, noise_variance, component, *given)
        with progress_bar(f"{method.name} {name}") as progress:
            analyses.append(method.analyse(problem, progress))
    filled = members.restored(np.stack([each.states for each in analyses], axis=-1))
    spreads = [each.spread for each in analyses if each.spread is not None]
    if spreads:
        filled = with_errors(filled, members.restored(np.stack(spreads, axis=-1)))
    write_slabs(filled, [filled], members.first.layout.time, out)
    names = members.first.layout.variables
    report(
        {
            "out": str(out),
            "maps": len(members.series) * len(members.days),
            "seconds_per_map": sum(each.seconds_per_map for each in analyses),
            **{
                f"settings {name}": each.settings
                for name, each in zip(names, analyses, strict=True)
                if each.settings
            },
        },
        as_json,
    )


def _first_guess(path, members):
    """The maps of a file, or those that a model makes, [member, time, y, x, component]."""
    from tf4dvar.evaluation.field_comparison import maps_by
    from tf4dvar.models import load_model
    from tf4dvar.models.loading import is_model

    if not is_model(path):
        return np.stack(Members.open(str(path)).at_times_of(members))
    with progress_bar(f"{path}") as progress:
        return maps_by(load_model(path), members, progress)


def compare_on_fields(
    data: DataFile,
    truth: str | None,
    states: str | None,
    noise_variance: float | None,
    methods: Sequence[str],
    models: Sequence[str],
    page: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Compare methods and models on the same maps: tables, figures and, if asked, a page.

    Args:
        data: the file.
        truth: a file of the true maps; by default the file's own variable `truth`.
        states, noise_variance: as for `assimilate_fields`.
        methods, models: see `compare_fields`.
        page: whether report.html is written, with a slider over time.
        out: folder to write the report into.
        as_json: whether the scores are printed as JSON.
    """
    load_tensorflow()
    from tf4dvar.evaluation.comparison import write_scores
    from tf4dvar.evaluation.field_comparison import (
        compare_fields,
        field_problem_of,
        row_of_fields,
    )
    from tf4dvar.evaluation.field_figures import maps_of, write_comparison, write_figures

    members, true = _with_truth(data, truth)
    examples = None if states is None else whole_fields(states, members)[..., 0]
    # Models know theirs.
    noise_variance = noise_variance if methods else 1.0
    problem = field_problem_of(members, noise_variance, states=examples)
    results = compare_fields(problem, members, true, methods, models, progress_bar)
    out.mkdir(exist_ok=True)
    scores = {name: result.scores for name, result in results.items()}
    write_scores([row_of_fields(*each) for each in scores.items()], scores, out)
    maps = maps_of({name: result.states for name, result in results.items()}, members, true)
    write_figures(maps, out)
    if page:
        told = {"data": data.path, "methods": ", ".join(methods), "models": ", ".join(models)}
        told |= {} if states is None else {"states": states}
        title = f"Maps of {Path(data.path).name}"
        write_comparison(out / "report.html", title, results, maps, told)
    if as_json:
        report(scores, True)
    else:
        typer.echo((out / "table.md").read_text(), nl=False)


def evaluate_on_fields(
    model: "FourDVarNet", data: DataFile, truth: str | None, as_json: bool
) -> None:
    """Score a model on maps whose truth is known.

    Args:
        model: the model.
        data, truth: as for `compare_on_fields`.
        as_json: how the scores are printed.
    """
    from tf4dvar.evaluation.field_comparison import (
        field_problem_of,
        filled_by,
        scores_of_fields,
    )

    members, true = _with_truth(data, truth)
    with progress_bar("evaluate") as progress:
        analysis = filled_by(model, members, progress)
    # A model knows its noise.
    problem = field_problem_of(members, noise_variance=1.0)
    report(scores_of_fields(analysis, problem, true), as_json)


def _with_truth(data, truth):
    """The members of a file, and their true maps."""
    from tf4dvar.evaluation.field_comparison import truth_of_fields

    if truth is None and TRUTH not in open_source(data.path):
        raise InputError(
            f"{data.path} has no variable `truth`: there is nothing to score against. Name a file "
            "of the true maps, truth=FILE."
        )
    members = data.members()
    true = data.members([TRUTH]) if truth is None else data.beside(truth).members()
    return members, truth_of_fields(members, true)


def write_page_of(data: DataFile, filled: Path, model: str) -> None:
    """Write a page of the maps that a model filled, beside their file.

    Args:
        data: of the observations.
        filled: the file of the maps.
        model: its name.
    """
    from tf4dvar.evaluation.field_figures import maps_of
    from tf4dvar.evaluation.report import write_html

    members, states = data.members(), data.beside(str(filled)).members()
    title = f"Maps of {Path(data.path).name}"
    told = {"data": data.path, "model": model}
    maps = maps_of({"filled": states.observations[..., 0]}, members)
    write_html(filled.with_suffix(".html"), title, maps, {}, told)


def whole_fields(path: str, members: Members) -> np.ndarray:
    """Example fields of a file, [sample, time, y, x, component].

    Args:
        path: of a file of whole fields on the same grid and at the same step; of a file of
            observations and their truth, the latter.
        members: to whose maps they belong.

    Raises:
        InputError: they have gaps, or another time step or grid.
    """
    source = open_source(path)
    found = Members.open(path, [TRUTH] if TRUTH in source else None)
    step, expected = (float(np.median(np.diff(each.days))) for each in (found, members))
    if found.grid.shape != members.grid.shape or abs(step - expected) > SAME * expected:
        raise InputError(
            f"Received fields of {found.grid.shape} points, {step:g} days apart; expected "
            f"{members.grid.shape} points, {expected:g} days apart, as of the observations."
        )
    check_whole(found.observations[..., 0], members, "fields", path)
    return found.observations


def check_whole(fields: np.ndarray, members: Members, what: str, path: str) -> None:
    """Refuse fields with gaps where maps have their sea.

    Args:
        fields: [..., y, x], on the grid of the maps.
        members: the maps.
        what: the fields are, for the error.
        path: of their file.

    Raises:
        InputError: a value is missing.
    """
    missing = np.isnan(fields[..., members.grid.sea])
    if missing.any():
        none = missing.all(axis=-1)
        raise InputError(
            f"Received {what} of {path}, {missing.sum()} of whose values are missing where the "
            f"maps have no land; of {none.size} maps {none.sum()} have none at all. Expected whole "
            "fields at every step. Say where land is with --mask, or fill them first: "
            f"tf4dvar fill {path} --mask NAME --out whole.nc."
        )
