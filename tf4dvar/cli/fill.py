"""`tf4dvar fill`: the gaps of one's own maps, by what withheld pixels show to be best."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from tf4dvar.cli.common import (
    AddressOption,
    ForceOption,
    JsonOption,
    NoiseVarianceOption,
    WorkersOption,
    check_workers,
    report,
)
from tf4dvar.cli.data import DataFile, opens_files
from tf4dvar.cli.fields import check_whole, whole_fields
from tf4dvar.cli.progress import progress_bar
from tf4dvar.data import TRANSFORMS, Members, open_data, write_slabs
from tf4dvar.data.series import with_errors
from tf4dvar.data.transforms import transformed
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow
from tf4dvar.storage import check_output

VARIABLE = Annotated[
    str | None,
    typer.Option("--variable", help="To fill; by default the only measurement in time."),
]


@partial(opens_files, changed={"variables": VARIABLE})
def fill(
    data: Annotated[
        DataFile,
        typer.Argument(parser=DataFile, metavar="FILE", help="NetCDF file, zarr store or glob."),
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write.")],
    transform: Annotated[
        str | None,
        typer.Option(help=f"Of a positive variable, in which to work: {', '.join(TRANSFORMS)}."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="File of whole fields on the same grid, as of a model.")
    ] = None,
    covariate: Annotated[
        str | None,
        typer.Option(
            metavar="FILE#NAME", help="Another variable, whole, of the same grid and times."
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="To tune a network to the maps; 0: kriging only.")
    ] = 20.0,
    run: Annotated[
        Path | None, typer.Option(help="Folder for the network's training, which is kept.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the training in --run.")] = False,
    noise_variance: NoiseVarianceOption = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Write the method's values at observed pixels, too.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option("--report", help="Page to write, with a slider over time.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is withheld.")] = 0,
    workers: WorkersOption = None,
    address: AddressOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fill the gaps of maps, and write how large the error of each value is beside it.

    Example: `tf4dvar fill sst.nc --variable sst --mask mask --out filled.nc --report report.html`

    Kriging, DINEOF and a network that is tuned to the maps fill pixels that are withheld below the
    clouds of other days; with `--reference` the network learns from its fields, and kriging with
    their covariance is another candidate. The best, or a blend, fills the file: what is withheld on
    some days tells which, that of others how good it is. Errors of all are printed. Observed
    values stay as they are; NAME_error is a standard deviation. A training that was stopped goes on
    with `--run` and `--resume`. With `--covariate sst.nc#sst` kriging of what a regression on that
    variable leaves is another candidate. With `--workers` kriging's maps are made by several
    processes.
    """
    check_workers(workers, address)
    if run is None and resume:
        raise InputError("Received --resume without --run; expected the folder of the training.")
    check_output(out, force)
    if page is not None:
        check_output(page, force)
    load_tensorflow()
    from tf4dvar.evaluation.field_comparison import field_problem_of
    from tf4dvar.evaluation.field_figures import maps_of
    from tf4dvar.evaluation.report import write_html
    from tf4dvar.filling import DINEOF, Network, candidates_for, noise_variance_of
    from tf4dvar.filling import fill as fill_gaps
    from tf4dvar.scale.mapping import with_workers

    members = data.members()
    component, name = _names_in(members, data)
    scaled = members.with_transforms({} if transform is None else {component: transform})
    if noise_variance is None and scaled.noise_variance is None:
        noise_variance = noise_variance_of(scaled.observations[..., 0])
    examples = None if reference is None else whole_fields(reference, members)[..., 0]
    if examples is not None and transform is not None:
        examples = transformed(examples, transform, f"the fields of {reference}")
    problem = field_problem_of(scaled, noise_variance)
    other = None if covariate is None else _covariate_of(covariate, members)
    network = Network(minutes, run, resume, examples, seed) if minutes else None
    with nullcontext(map) if workers is None else with_workers(workers, address) as mapping:
        candidates = candidates_for(examples, other, mapping)
        if network is None:
            del candidates[DINEOF]
        filling = fill_gaps(problem, candidates, progress_bar, smooth, seed, network)
    filled = scaled.restored(filling.states[..., None])
    if not smooth:
        # Bit for bit, also on the scale of a transform.
        observed = members.dataset[name].variable
        filled[name] = filled[name].copy(data=observed.fillna(filled[name].variable).data)
    # Errors are on the scale on which they were found.
    scales = {} if transform is None else {name: transform}
    result = with_errors(filled, members.restored(filling.spread[..., None]), scales)
    write_slabs(result, [result], members.first.layout.time, out)
    told = {
        "out": str(out),
        "maps": len(members.series) * len(members.days),
        "noise_variance": float(problem.variance[problem.observed].mean()),
        "weights": filling.weights,
        **{f"settings {key}": chosen for key, chosen in filling.settings.items() if chosen},
    }
    if page is not None:
        physical = Members.of(filled, members.first.layout.axes)
        maps = maps_of({"filled": physical.observations[..., 0]}, members)
        title = f"Maps of {Path(data.path).name}"
        write_html(page, title, maps, filling.scores, told)
    report(told | filling.scores, as_json)


def _names_in(members: Members, data: DataFile) -> tuple[str, str]:
    """The component to fill, and the variable of the file that holds it."""
    layout = members.first.layout
    if not members.of_fields or len(layout.variables) > 1:
        raise InputError(
            f"Received {data.path}, {', '.join(layout.variables)}; expected maps in time of one "
            "variable, variables=NAME."
        )
    return layout.variables[0], layout.names[0]


def _covariate_of(told: str, members: Members) -> np.ndarray:
    """FILE#NAME at the times of the maps, [member, time, y, x]."""
    path, _, name = told.rpartition("#")
    if not path or not name:
        raise InputError(f"Received --covariate {told}; expected FILE#NAME, as sst.nc#sst.")
    component = members.first.layout.variables[0]
    found = Members.of(open_data(path, [name]).rename({name: component}))
    values = np.stack(found.at_times_of(members))[..., 0]
    if values.shape != members.observations.shape[:-1]:
        raise InputError(
            f"Received {name} of {path}, {found.grid.shape} points; expected the grid of the maps, "
            f"{members.grid.shape} points."
        )
    check_whole(values, members, name, path)
    return np.where(members.grid.sea, values, 0.0).astype("float64")
