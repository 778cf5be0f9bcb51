"""The commands of the paper's experiments: list, tables, figures, and a first look."""

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tf4dvar.cli.common import JsonOption, ProtocolOption, report
from tf4dvar.cli.progress import verbose
from tf4dvar.runtime import load_tensorflow

SystemArgument = Annotated[str, typer.Argument(help="l63 or l96")]
RunsOption = Annotated[Path, typer.Option("--runs", help="Folder of the runs and the table.")]


def experiments(as_json: JsonOption = False) -> None:
    """List the experiments: the rows of the paper's tables and the published models.

    Example: `tf4dvar experiments --json`
    """
    load_tensorflow()
    from tf4dvar.experiments import EXPERIMENTS

    if not as_json:
        for row in EXPERIMENTS.values():
            known = row.paper.r_score
            paper = "" if known is None else f" (the paper's R-score: {known:g})"
            typer.echo(f"{row.name:22} {row.summary}{paper}")
        return
    keys = ("name", "summary", "system", "protocol", "windows", "epochs")
    rows = [
        {**{key: getattr(row, key) for key in keys}, "paper": asdict(row.paper)}
        for row in EXPERIMENTS.values()
    ]
    report(rows, as_json)


def tables(
    system: SystemArgument,
    runs: RunsOption,
    minutes_per_row: Annotated[
        float | None, typer.Option(help="Time budget of each row that begins now.")
    ] = None,
    protocol: ProtocolOption = None,
    windows: Annotated[
        int | None, typer.Option(min=1, help="Test windows; by default the system's number.")
    ] = None,
    row: Annotated[
        list[str] | None, typer.Option(help="This row alone; may be given several times.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the rows that were begun.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train what is missing of Table 1 (l63) or 2 (l96), score all rows, write the table.

    Example: `tf4dvar tables l63 --runs runs --minutes-per-row 20 --resume`
    """
    load_tensorflow()
    from tf4dvar.paper.tables import make_table

    # The progress of the trainings goes to the other stream.
    with redirect_stdout(sys.stderr):
        rows = make_table(
            system, runs, protocol, windows, minutes_per_row, row or (), resume, verbose()
        )
    scores = {one.name: one.r_score for one in rows}
    report([asdict(one) for one in rows] if as_json else scores, as_json)


def figures(
    system: SystemArgument,
    runs: RunsOption,
    out: Annotated[Path, typer.Option("--out", help="Folder of the figures.")],
    protocol: ProtocolOption = None,
    windows: Annotated[int, typer.Option(min=1, help="Test windows.")] = 64,
    as_json: JsonOption = False,
) -> None:
    """Draw Figures 2 and 3 (l63) or 4 (l96) from the runs of a table.

    Example: `tf4dvar figures l63 --runs runs --out figures`
    """
    load_tensorflow()
    from tf4dvar.paper.figures import make_figures

    files = make_figures(system, runs, out, protocol, windows)
    report({file.stem: str(file) for file in files}, as_json)


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
