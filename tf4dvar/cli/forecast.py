"""`tf4dvar forecast`: the states after windows."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import xarray as xr

from tf4dvar.cli.common import ForceOption, JsonOption, ModelArgument, OutOption, report
from tf4dvar.cli.data import DataOption, opens_files
from tf4dvar.data import states_dataset, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.evaluation.forecast_scores import forecast_scores
from tf4dvar.runtime import load_tensorflow
from tf4dvar.storage import atomic_path, check_output

# Steps of which errors are told: powers of two, and the last.
DOUBLINGS = 20


@opens_files
def forecast(
    model: ModelArgument,
    data: DataOption,
    steps: Annotated[int, typer.Option(min=1, help="Steps after the last time.")],
    out: OutOption,
    start: Annotated[
        int | None,
        typer.Option(
            "--from",
            min=2,
            help="The step from which on nothing is seen, and true states are for scores; by "
            "default that after the last time.",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Of each window, for a mean and its deviation.")
    ] = 0,
    figure: Annotated[
        Path | None, typer.Option(help="Figure of the errors to write, by how far ahead.")
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Forecast the states after observed windows, with a model.

    Example: `tf4dvar forecast l63 --data windows.nc --steps 50 --samples 20 --out after.nc`

    A known or learned flow steps on from the last state, or from samples of it; a model without one
    reconstructs times in which nothing is observed. Where the file has true states of these times,
    errors are told beside those of the last state and of the climate.

    Example: `tf4dvar forecast l63 --data windows.nc --from 190 --steps 10 --out after.nc`
    """
    check_output(out, force)
    if figure is not None:
        check_output(figure, force)
    if not data.is_of_windows:
        raise InputError(f"{data.path} is no file of windows; expected one.")
    load_tensorflow()
    from tf4dvar.models import load_model

    loaded, source = load_model(model), data.windows()
    whole = source.sizes["time"]
    start = whole if start is None else start
    if start > whole:
        raise InputError(f"Received --from {start}; {data.path} has {whole} times.")
    seen = source.isel(time=slice(None, start))
    truth = None if "truth" not in source else source["truth"].values[:, start : start + steps]
    if truth is not None and truth.shape[1] < steps:
        truth = None
    if truth is None and figure is not None:
        raise InputError(
            f"{data.path} has no true states of {steps} steps from {start} on; a figure of errors "
            "needs them."
        )
    found = loaded.forecast(seen, steps, samples)
    after = _after(source, start, steps)
    written = states_dataset(after, found.mean, state_std=found.std, method=str(model))
    written["state"].attrs["long_name"] = "forecast state"
    write_dataset(written, out, force)
    told = {"out": str(out), "windows": len(found.mean), "steps": steps}
    if truth is None:
        report(told, as_json)
        return
    mean = seen["truth"].values.mean(axis=(0, 1))
    scores = forecast_scores(found.mean, truth, found.last, mean, found.std)
    named = {name: of for name, of in scores._asdict().items() if of is not None}
    if figure is not None:
        from tf4dvar.evaluation.plots import plot_error_by_time

        drawn = plot_error_by_time(after, {name: np.square(of) for name, of in named.items()})
        with atomic_path(figure) as temporary:
            drawn.savefig(temporary, dpi=150)
    if as_json:
        report({**told, **{name: of.tolist() for name, of in named.items()}}, as_json)
        return
    shown = sorted({min(2**power, steps) for power in range(DOUBLINGS)})
    rows = {
        f"step {step}": {name: float(of[step - 1]) for name, of in named.items()} for step in shown
    }
    report({**told, **rows}, as_json)


def _after(source, start, steps):
    """The times after those that are seen, as a data set in which nothing is observed."""
    times = source["time"]
    if start + steps <= len(times):
        coordinate = times[start : start + steps]
    else:
        step = times[1] - times[0]
        values = times.values[start - 1] + step.values * np.arange(1, steps + 1)
        coordinate = xr.DataArray(values, dims="time", attrs=times.attrs)
    observations = source["observations"].isel(time=np.zeros(steps, int)) * np.nan
    observations.attrs = source["observations"].attrs
    dataset = source.drop_vars(list(source.data_vars)).drop_dims("time", errors="ignore")
    return dataset.assign(observations=observations.assign_coords(time=coordinate))
