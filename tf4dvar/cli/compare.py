"""`tf4dvar compare` and `tf4dvar limit`: methods on the same windows, and what is possible."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tf4dvar.classical import ImportanceSampling
from tf4dvar.cli.assimilate import OF_FIELDS, OF_SERIES, StatesOption, states_and_spread
from tf4dvar.cli.common import (
    ForceOption,
    JsonOption,
    NoiseVarianceOption,
    SystemOption,
    listed,
    refuse_given,
    report,
    system_of,
)
from tf4dvar.cli.data import DataOption, TruthOption, WindowOption, opens_files
from tf4dvar.cli.fields import PageOption, compare_on_fields
from tf4dvar.cli.progress import progress_bar
from tf4dvar.data import like, write_dataset
from tf4dvar.data.signature import WINDOW
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow
from tf4dvar.storage import check_output

OF_METHODS = (*OF_FIELDS, "noise_variance")
FEW_COMPONENTS = 5


@opens_files
def compare(
    context: typer.Context,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the report into.")],
    methods: Annotated[
        str,
        typer.Option(
            help="Classical methods, with commas; a+b: the states of a are the first guess of b."
        ),
    ] = "",
    models: Annotated[str, typer.Option(help="Run directories or .keras files, with commas.")] = "",
    truth: TruthOption = None,
    states: StatesOption = None,
    page: PageOption = False,
    window: WindowOption = WINDOW,
    system: SystemOption = None,
    noise_variance: NoiseVarianceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare methods and models on the same windows, series or maps: tables and figures.

    Example: `tf4dvar compare --data windows.nc --methods oi,enks --models runs/x --out report/`

    Of maps scores are those of the ocean data challenges: mu, sigma, lambda_x, lambda_t.

    Example: `tf4dvar compare --data qg.nc --methods oi --report --out report/`
    """
    check_output(out, force)
    named = listed(methods), listed(models)
    if not methods:
        refuse_given(context, OF_METHODS, "models take none of these; expected them of --methods.")
    if not data.is_of_windows and data.is_of_fields:
        refuse_given(context, OF_SERIES, f"{data.path} is of maps and has no use for these.")
        compare_on_fields(data, truth, states, noise_variance, *named, page, out, as_json)
        return
    unused = [*OF_FIELDS, "page"]
    refuse_given(context, unused, f"{data.path} is no file of maps and has no use for these.")
    nature = None if system is None else system_of(system)
    covariates = () if nature is None else nature.covariates
    dataset = data.windows(window, truth, covariates=covariates)
    load_tensorflow()
    from tf4dvar.evaluation.comparison import compare as run_comparison
    from tf4dvar.evaluation.comparison import write_report

    results = run_comparison(dataset, *named, progress_bar, nature, noise_variance)
    out.mkdir(exist_ok=True)
    write_report(results, dataset, out)
    if as_json:
        report({name: result.scores for name, result in results.items()}, True)
    else:
        typer.echo((out / "table.md").read_text(), nl=False)


@opens_files
def limit(
    system: Annotated[
        str, typer.Argument(help="l63, another of a few components, or MODULE:NAME.")
    ],
    data: DataOption,
    out: Annotated[
        Path | None, typer.Option("--out", help="File for the posterior mean and spread.")
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Free trajectories to weigh.")
    ] = ImportanceSampling.samples,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the trajectories.")
    ] = ImportanceSampling.seed,
    draws: Annotated[
        int, typer.Option(min=0, help="Trajectories to draw from the posterior of each window.")
    ] = ImportanceSampling.draws,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """The Bayes limit: the smallest error that the observations allow, by importance sampling.

    Example: `tf4dvar limit l63 --data windows.nc`

    With draws it tells how good these are as samples of the truth, as `evaluate --calibration` does
    of a model's, and they are the variable `sample` of the file.

    Example: `tf4dvar limit l63 --data windows.nc --draws 50 --out limit.nc`
    """
    nature = system_of(system)
    components = len(nature.components)
    if components > FEW_COMPONENTS:
        raise InputError(
            f"Received the system {system} of {components} components; expected one of "
            f"{FEW_COMPONENTS} at most, such as l63: with more, importance sampling over free "
            "trajectories is hopeless."
        )
    if out is not None:
        check_output(out, force)
    source = data.windows()
    if str(source.attrs.get("system", nature.name)) != nature.name:
        raise InputError(
            f"{data.path} has the attribute system={source.attrs['system']!r}; expected "
            f"{nature.name!r}."
        )
    load_tensorflow()
    from tf4dvar.evaluation.calibration import full_calibration, sample_calibration, sample_scores
    from tf4dvar.evaluation.comparison import problem_of
    from tf4dvar.evaluation.scores import in_order, score

    ordered = in_order(source, nature)
    with progress_bar("limit") as progress:
        analysis = ImportanceSampling(samples, seed, draws).analyse(
            problem_of(ordered, system=nature), progress
        )
    sizes = analysis.effective_sample_size
    assert sizes is not None
    assert analysis.spread is not None
    values: dict[str, Any] = {"windows": len(sizes)}
    if "truth" in source:
        scores = score(analysis.states, ordered, nature)
        values |= {name: scores[name] for name in ("r_score", "r_score_se")}
        truth = ordered["truth"].values
        values["calibration"] = full_calibration(analysis.states - truth, analysis.spread)
        if analysis.samples is not None:
            drawn = sample_scores(np.moveaxis(analysis.samples, 1, 0), truth)
            values["calibration_of_samples"] = sample_calibration(drawn)
    values |= {
        "posterior_variance": float(np.square(analysis.spread).mean()),
        "median_sample_size": float(np.median(sizes)),
        "windows_of_small_sample": int((~analysis.converged).sum()),
    }
    if out is not None:
        states = states_and_spread(ordered, analysis, "Bayes limit")
        states["effective_sample_size"] = ("window", sizes)
        if analysis.samples is not None:
            states["sample"] = (("window", "sample", "time", "component"), analysis.samples)
        write_dataset(like(states, source), out, force)
        values["out"] = str(out)
    report(values, as_json)
