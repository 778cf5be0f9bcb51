"""`tf4dvar plot`: example windows and error densities."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tf4dvar.cli.common import ForceOption, JsonOption, OutOption, report
from tf4dvar.cli.data import DataOption, TruthOption, WindowOption, opens_files
from tf4dvar.data import read_errors, read_states
from tf4dvar.data.signature import WINDOW
from tf4dvar.errors import InputError
from tf4dvar.storage import atomic_path, check_output


@opens_files
def plot(
    data: DataOption,
    states: Annotated[list[Path], typer.Option("--states", help="May be given several times.")],
    out: OutOption,
    truth: TruthOption = None,
    window: WindowOption = WINDOW,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw example windows and error densities.

    States of files of windows that have `state_std` come with bands of 90 %.

    Example: `tf4dvar plot --data windows.nc --states a.nc --states b.nc --out figure.png`
    """
    from tf4dvar.evaluation.plots import plot_reconstructions

    check_output(out, force)
    dataset = data.windows(window, truth)
    reconstructions: dict[str, Any] = {}
    stds: dict[str, Any] = {}
    for path in states:
        if data.is_of_windows:
            reconstructions[path.stem] = read_states(path, dataset)
            errors = read_errors(path, dataset)
            stds |= {} if errors is None else {path.stem: errors}
            continue
        state = data.beside(str(path)).windows(window)["observations"]
        if state.shape != dataset["observations"].shape:
            raise InputError(
                f"{path} has states of shape {state.shape}; "
                f"{data.path} has windows of shape {dataset['observations'].shape}."
            )
        reconstructions[path.stem] = state.values
    figure = plot_reconstructions(dataset, reconstructions, stds)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, dpi=150)
    report({"out": str(out)}, as_json)
