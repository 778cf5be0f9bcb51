"""`tf4dvar reconstruct`: the states of a file of windows, or of an archive of them."""

import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tf4dvar.cli.common import (
    AddressOption,
    ForceOption,
    JsonOption,
    ModelArgument,
    WorkersOption,
    check_workers,
    refuse_given,
    report,
)
from tf4dvar.cli.data import OPENING, DataOption, opens_files, write_series
from tf4dvar.cli.fields import PageOption, write_page_of
from tf4dvar.cli.progress import progress_bar
from tf4dvar.data import states_dataset, write_dataset
from tf4dvar.data.series import with_errors
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow
from tf4dvar.storage import check_output


@opens_files
def reconstruct(
    context: typer.Context,
    model: ModelArgument,
    data: DataOption,
    out: Annotated[
        Path, typer.Option("--out", help="File to write, or, without a suffix, a folder.")
    ],
    workers: WorkersOption = None,
    address: AddressOption = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Of each window, how many to draw from what is possible.")
    ] = 0,
    page: PageOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Reconstruct the states of observed windows, or of a series of one's own, with a model.

    Example: `tf4dvar reconstruct runs/x --data windows.nc --out states.nc`

    A model that says how sure it is gives `state_std`, too, and, if asked, the variable `sample`.

    Example: `tf4dvar reconstruct l63 --data windows.nc --out states.nc --samples 20`

    A table, or maps in time, come out as they went in, with a value at every time and place off
    land, of each member by itself.

    Example: `tf4dvar reconstruct runs/stations --data stations.nc --out filled.nc`

    Into a folder all files of a pattern are reconstructed, each into one of the same name, with
    bounded memory. Stopped, the same command goes on where it was. Exit code 1: some files
    could not be reconstructed, `manifest.jsonl` says why.

    Example: `tf4dvar reconstruct runs/x --data 'archive/*.nc' --out states --workers 4`
    """
    check_workers(workers, address)
    archive = out.is_dir() or not out.suffix
    if workers and not archive:
        raise InputError(
            f"Received --workers {workers} and --out {out}; workers write into a folder, "
            f"for example {out.with_suffix('')}."
        )
    load_tensorflow()
    from tf4dvar.evaluation.reconstruction import reconstruct as reconstruct_states
    from tf4dvar.models import load_model

    if archive:
        refuse_given(
            context,
            [*OPENING, "page", "samples"],
            "the files of an archive are of windows; expected none of these. Files of one series "
            f"are reconstructed together, into one file: --out {out}.nc.",
        )
        _reconstruct_archive(model, data.path, out, workers, address, force, as_json)
        return
    check_output(out, force)
    loaded = load_model(model)
    if page and (data.is_of_windows or not data.is_of_fields):
        refuse_given(context, ["page"], f"{data.path} is no file of maps; expected one.")
    if not data.is_of_windows:
        refuse_given(context, ["samples"], f"{data.path} is no file of windows; expected one.")
        _reconstruct_series(loaded, data, out, force, as_json)
        if page:
            write_page_of(data, out, str(model))
        return
    source = data.windows()
    found = reconstruct_states(loaded, source, timed=True)
    written = states_dataset(source, **found.written, method=str(model))
    if samples:
        drawn = loaded.sample(source, samples)
        written["sample"] = (("sample", *written["state"].dims), drawn, written["state"].attrs)
        written["sample"].attrs["long_name"] = "state as it may have been"
    write_dataset(written, out, force)
    report(
        {
            "out": str(out),
            "windows": len(found.states),
            "suspect": int(found.suspect.sum()),
            "seconds_per_window": found.seconds_per_window,
        },
        as_json,
    )


def _reconstruct_series(model, data, out, force, as_json):
    from tf4dvar.evaluation.reconstruction import posterior, predicted
    from tf4dvar.models.series import (
        members_for,
        states_and_errors_of_members,
        states_of_members,
    )

    started = time.monotonic()
    members = members_for(model, data.members(covariates=model.covariate_names))
    like = members.like
    with progress_bar("series") as bar:
        if model.uncertainty is None:
            slabs = states_of_members(model, members, partial(predicted, model), bar)
        else:
            like = with_errors(like, like, members.first.transforms)
            slabs = states_and_errors_of_members(model, members, partial(posterior, model), bar)
        write_series(like, slabs, members.first.layout.time, out, force)
    report({"out": str(out), "seconds": time.monotonic() - started}, as_json)


def _reconstruct_archive(model, data, out, workers, address, force, as_json):
    from tf4dvar.models import load_model, model_file
    from tf4dvar.scale.archive import reconstruct_archive, with_model, with_workers

    file, loaded = model_file(model), load_model(model)
    started = time.monotonic()

    def progress(share: float, windows: int) -> None:
        rate = windows / (time.monotonic() - started)
        bar(share, 1.0, f"{windows} windows, {rate:.0f}/s")

    with (
        (
            with_workers(file, workers, address) if workers else nullcontext(with_model(loaded))
        ) as reconstructor,
        progress_bar("archive") as bar,
    ):
        summary = reconstruct_archive(data, out, file, reconstructor, force, progress)
        seconds = time.monotonic() - started
    report(
        {
            "out": str(out),
            **summary._asdict(),
            "windows_per_second": summary.windows / seconds,
            "errors": summary.errors if as_json else len(summary.errors),
        },
        as_json,
    )
    if summary.errors:
        typer.echo(
            f"Error: {len(summary.errors)} of {summary.files + len(summary.errors)} files have no "
            f"states; {out / 'manifest.jsonl'} says why.",
            err=True,
        )
        raise typer.Exit(1)
