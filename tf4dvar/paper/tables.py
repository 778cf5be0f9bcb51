"""Tables 1 and 2 of the paper: train what is missing, score every row, write the table."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import xarray as xr

from tf4dvar.data import default_protocol, protocol_plan, simulate_dataset
from tf4dvar.errors import DivergenceError, InputError, shown
from tf4dvar.evaluation.scores import evaluate, prior_ode_score, score
from tf4dvar.experiments import TABLES, Experiment, PaperScores, experiment_by_name, true_flow
from tf4dvar.models import FourDVarNet
from tf4dvar.paper.descent import descent_run
from tf4dvar.paper.reference_scores import REFERENCES
from tf4dvar.storage import atomic_path
from tf4dvar.storage.records import read_record, write_record
from tf4dvar.systems import TEST_SEED, system_by_name
from tf4dvar.training import RunDirectory, check_minutes, learned_weights, train
from tf4dvar.training.job import ASKED

logger = logging.getLogger(__name__)

# The paper takes over 150,000 for Lorenz-63; with fewer for Lorenz-96 most windows have converged.
DESCENT_STEPS = {"l63": 150_000, "l96": 10_000}


@dataclass(frozen=True)
class Row:
    """One row of a table; scores in physical units, see `tf4dvar.evaluation.metrics`.

    Attributes:
        name, summary: of the experiment.
        paper_r_score, paper_fourdvar_score, paper_ode_score: what the paper reports, where it
            is known here.
        r_score, r_score_se, fourdvar_score, ode_score: ours; the standard error is over
            windows.
        windows: number of test windows that were scored, the first ones.
        iterations: K, or the number of descent steps.
        training_seconds: wall clock; None where nothing is learned, or the log is gone.
        parameters: number of learned weights, those of an identified prior too.
        seconds_per_window: of the reconstruction.
    """

    name: str
    summary: str
    paper_r_score: float | None
    paper_fourdvar_score: float | None
    paper_ode_score: float | None
    r_score: float
    r_score_se: float | None
    fourdvar_score: float
    ode_score: float
    windows: int
    iterations: int
    training_seconds: float | None
    parameters: int
    seconds_per_window: float


def make_table(
    system: str,
    runs: Path,
    protocol: str | None = None,
    windows: int | None = None,
    minutes_per_row: float | None = None,
    names: Sequence[str] = (),
    resume: bool = False,
    verbose: str | int = "auto",
) -> list[Row]:
    """Train and score the rows of a system's table; it is written anew after each.

    Every row has a folder in `runs`. Stopped at any moment, the same call with `resume` goes on
    where it was; a training that was begun goes on with the options that it began with. Rows that
    an earlier call scored stay in the table. One that diverges is told when the others are done.

    Args:
        system: short name.
        runs: folder of the run directories, `NAME-PROTOCOL`, and of the table.
        protocol: "T" or "C"; the system's default one for None.
        windows: number of test windows, the first of those of the paper's number.
        minutes_per_row: time budget of each training that begins now, and of the descent.
        names: the experiments to include; all of the system by default.
        resume: go on with the rows that have a folder already.
        verbose: of Keras' `fit`.

    Returns:
        The rows, which are also in `runs/table-SYSTEM-PROTOCOL.md`, `.csv` and `.json`.

    Raises:
        DivergenceError: some rows have no score; the others are in the table.
    """
    check_minutes(minutes_per_row)
    dataset = held_out_windows(system, protocol, windows)
    protocol = protocol or default_protocol(system)
    runs.mkdir(parents=True, exist_ok=True)
    table = runs / f"table-{system}-{protocol}"
    _read_table(table)  # A damaged one is told before anything is trained.
    rows, diverged = [], []
    for experiment in rows_of(system, names):
        if protocol != experiment.protocol:
            # The paper's scores belong to the experiment's own protocol.
            experiment = replace(experiment, protocol=protocol, paper=PaperScores())
        path = runs / f"{experiment.name}-{protocol}"
        logger.info("%s", experiment.name)
        learned = partial(_learned_row, verbose=verbose)
        score_row = _descent_row if experiment.build is None else learned
        try:
            row = score_row(experiment, path, dataset, minutes_per_row, resume)
        except DivergenceError as error:
            logger.error("%s: %s", experiment.name, error)
            diverged.append(f"{experiment.name}: {error}")
            continue
        logger.info("%s: R-score %.4g on %d windows", row.name, row.r_score, row.windows)
        rows.append(row)
        write_table(_with_earlier(rows, system, protocol, table), system, protocol, table)
    if diverged:
        raise DivergenceError(f"Rows without a score: {' '.join(diverged)}")
    return rows


def _with_earlier(rows: Sequence[Row], system: str, protocol: str, table: Path) -> list[Row]:
    """These rows, and those of the table so far whose folder is there, in the paper's order."""
    by_name = {row.name: row for row in _read_table(table)} | {row.name: row for row in rows}
    names = [experiment.name for experiment in rows_of(system)]
    there = [name for name in names if (table.parent / f"{name}-{protocol}").is_dir()]
    return [by_name[name] for name in there if name in by_name]


class _Table(msgspec.Struct):
    rows: list[dict[str, Any]]


class _Scores(msgspec.Struct):
    key: dict[str, Any]
    scores: dict[str, Any]


def _read_table(path: Path) -> list[Row]:
    file = path.with_suffix(".json")
    if not file.is_file():
        return []
    names = {field.name for field in fields(Row)}
    rows = read_record(file, _Table)["rows"]
    if not all(row.keys() == names for row in rows):
        raise InputError(f"{file} has rows of another form; delete it, and all rows are scored.")
    return [Row(**row) for row in rows]


def rows_of(system: str, names: Sequence[str] = ()) -> list[Experiment]:
    """The experiments of a system's table, or those of them with these names.

    Args:
        system: short name.
        names: of experiments; all rows by default.
    """
    if system not in TABLES:
        raise InputError(f"The paper has no table of {shown(system)}; it has: {', '.join(TABLES)}.")
    rows = list(TABLES[system])
    chosen = [experiment_by_name(name) for name in dict.fromkeys(names)]
    if others := [experiment.name for experiment in chosen if experiment not in rows]:
        known = ", ".join(experiment.name for experiment in rows)
        raise InputError(
            f"{', '.join(others)}: no row of the table of {system}; expected some of {known}."
        )
    return chosen or rows


def held_out_windows(system: str, protocol: str | None, windows: int | None = None) -> xr.Dataset:
    """The first so many of the windows on which every row of a system's table is scored.

    Args:
        system: short name.
        protocol: "T" or "C"; the system's default one for None.
        windows: how many; all by default.
    """
    most = system_by_name(system).test_windows
    count = most if windows is None else windows
    if not 1 <= count <= most:
        raise InputError(f"Received {windows} test windows; {system} has 1 to {most}.")
    dataset = simulate_dataset(
        system_by_name(system), protocol_plan(system, protocol), most, seed=TEST_SEED
    )
    return dataset.isel(window=slice(count))


def _descent_row(experiment, path, dataset, minutes, resume) -> Row:
    steps = DESCENT_STEPS[experiment.system]
    descent = descent_run(path, experiment.system, dataset, steps, minutes, resume)
    scored = dataset.isel(window=slice(len(descent.states)))
    truth = scored["truth"].values
    scores = score(descent.states, scored)
    scores["ode_score"] = prior_ode_score(true_flow(experiment.system, "float64"), truth)
    scores["seconds_per_window"] = descent.seconds / len(truth)
    return _row(experiment, scores, descent.steps, None, 0)


def _learned_row(experiment, path, dataset, minutes, resume, verbose) -> Row:
    run = RunDirectory(path)
    if resume and run.config.is_file():
        options = run.options()
        options = {name: options[name] for name in ASKED}
        model = train(experiment, path, **options, resume=True, verbose=verbose)
    else:
        model = train(experiment, path, minutes=minutes, verbose=verbose)
    scores = _scores(model, dataset, path / "scores.json")
    history = run.history()
    seconds = float(history[-1]["elapsed"]) if history else None
    parameters = learned_weights(experiment, model)
    return _row(experiment, scores, model.iterations, seconds, parameters)


def _scores(model: FourDVarNet, dataset: xr.Dataset, path: Path) -> dict[str, Any]:
    """The model's scores; those of an earlier call if neither model nor windows changed."""
    key = {"steps": int(model.optimizer.iterations), "windows": dataset.sizes["window"]}
    if path.is_file():
        record = read_record(path, _Scores)
        if record["key"] == key:
            return record["scores"]
    scores = evaluate(model, dataset)
    write_record(path, {"key": key, "scores": scores})
    return scores


def _row(experiment, scores, iterations, training_seconds, parameters) -> Row:
    return Row(
        name=experiment.name,
        summary=experiment.summary,
        **{f"paper_{name}": value for name, value in asdict(experiment.paper).items()},
        **{name: scores[name] for name in ("r_score", "r_score_se", "fourdvar_score", "ode_score")},
        windows=scores["windows"],
        iterations=iterations,
        training_seconds=training_seconds,
        parameters=parameters,
        seconds_per_window=scores["seconds_per_window"],
    )


def write_table(rows: Sequence[Row], system: str, protocol: str, path: Path) -> None:
    """Write `path` with the suffixes .json, .csv and .md, each whole or not at all.

    Args:
        rows: the scored rows.
        system, protocol: of the table.
        path: of the files, without suffix.
    """
    references = REFERENCES.get((system, protocol), ())
    records = [asdict(row) for row in rows]
    document = {
        "system": system,
        "protocol": protocol,
        "rows": records,
        "references": [reference._asdict() for reference in references],
    }
    write_record(path.with_suffix(".json"), document)
    records += [{"name": label, "r_score": r, "r_score_se": se} for label, r, se in references]
    with atomic_path(path.with_suffix(".csv")) as temporary:
        # As they are: a whole number stays one where others are missing.
        frame = pd.DataFrame(records, dtype=object)
        frame.to_csv(temporary, index=False, lineterminator="\r\n")
    with atomic_path(path.with_suffix(".md")) as temporary:
        temporary.write_text(_markdown(rows, system, protocol))


def _markdown(rows: Sequence[Row], system: str, protocol: str) -> str:
    table = pd.DataFrame(map(_cells, rows))
    align = ("left", *["right"] * (table.shape[1] - 1))
    lines = [
        f"# {system}, protocol {protocol}",
        "",
        "Mean squared errors in physical units over the test windows, the first ones where they "
        "are fewer, +- standard error over windows; a dash where the paper's figure is not known "
        "here or nothing is learned.",
        "",
        # Their digits are chosen.
        table.to_markdown(index=False, disable_numparse=True, colalign=align),
    ]
    references = REFERENCES.get((system, protocol), ())
    if references:
        lines += ["", "For comparison, R-scores measured elsewhere:", ""]
    lines += [f"- {reference.label}: {reference.shown}" for reference in references]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> dict[str, str]:
    error = "" if row.r_score_se is None else f" +- {_number(row.r_score_se, 2)}"
    minutes = None if row.training_seconds is None else row.training_seconds / 60
    return {
        "experiment": row.name,
        "R-score, paper": _given(row.paper_r_score),
        "R-score": _number(row.r_score) + error,
        "4DVar-score, paper": _given(row.paper_fourdvar_score),
        "4DVar-score": _number(row.fourdvar_score),
        "ODE-score, paper": _given(row.paper_ode_score),
        "ODE-score": _number(row.ode_score),
        "K": str(row.iterations),
        "training, minutes": _number(minutes),
        "parameters": f"{row.parameters:,}",
        "seconds per window": _number(row.seconds_per_window, 2),
        "windows": str(row.windows),
    }


def _given(value: float | None) -> str:
    """A number of the paper, with the digits that it has there."""
    return "-" if value is None else f"{value:g}"


def _number(value: float | None, digits: int = 3) -> str:
    # The # keeps final zeros, and a final point.
    return "-" if value is None else f"{value:#.{digits}g}".rstrip(".")
