"""`tf4dvar benchmark NAME`: cycled methods in published settings."""

from typing import Annotated

import typer

from tf4dvar.cli.common import JsonOption, listed, report
from tf4dvar.cli.progress import progress_bar
from tf4dvar.cycling import BENCHMARKS
from tf4dvar.errors import InputError, shown


def benchmark(
    name: Annotated[str, typer.Argument(help=", ".join(BENCHMARKS))],
    methods: Annotated[
        str | None,
        typer.Option(
            help="With commas: names of the table, or filters and settings, enkf:members=30. By "
            "default all of the table."
        ),
    ] = None,
    cycles: Annotated[
        int | None, typer.Option(min=2, help="To be scored, in place of its own number.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of truth and observations.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Cycle methods through a published setting, beside the errors that were published.

    Example: `tf4dvar benchmark sakov2008`

    Errors are of the analysis, root mean squares over the state, their means over cycles, with a
    standard error that knows how alike neighbouring cycles are.

    Example: `tf4dvar benchmark sakov2008 --methods "EnKF 24,letkf:members=10" --cycles 300`
    """
    if name not in BENCHMARKS:
        raise InputError(f"Received the benchmark {shown(name)}; known: {', '.join(BENCHMARKS)}.")
    chosen = BENCHMARKS[name]
    with progress_bar(name) as progress:
        found = chosen.run(listed(methods or ""), cycles, seed, progress)
    rows = {
        method: {
            "rmse": result.rmse.mean,
            "rmse_se": result.rmse.error,
            "published": result.published,
            "spread": result.spread,
            "crps": result.crps,
            "misfit": result.misfit,
            "ms_per_cycle": 1e3 * result.seconds,
        }
        for method, result in found.items()
    }
    report(rows, as_json)
