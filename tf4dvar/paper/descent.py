"""Fixed-step descent of many windows that can be stopped and resumed."""

import logging
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from tf4dvar.classical import FixedStepDescent, Problem
from tf4dvar.classical.analysis import report_convergence
from tf4dvar.data import check_states
from tf4dvar.errors import InputError, first_line
from tf4dvar.evaluation.metrics import fourdvar_score, r_score
from tf4dvar.experiments import true_flow
from tf4dvar.storage import atomic_path, locked
from tf4dvar.systems import system_by_name

logger = logging.getLogger(__name__)

WINDOWS_AT_ONCE = 32


class DescentRun(NamedTuple):
    """What a descent reached so far.

    Attributes:
        states: [window, time, component], physical units, of the windows that are done.
        pathways: R-score and 4DVar-score of each window at the start and every thousand steps,
            [window, iterate, 2].
        steps: number of descent steps of each.
        seconds: wall clock of all of them.
    """

    states: np.ndarray
    pathways: np.ndarray
    steps: int
    seconds: float


def descent_run(
    path: Path,
    system: str,
    dataset: xr.Dataset,
    steps: int,
    minutes: float | None = None,
    resume: bool = False,
) -> DescentRun:
    """Descend on the windows of a data set, some after others; see `FixedStepDescent`.

    Args:
        path: a folder; `descent.npz` in it holds the windows that are done.
        system: short name of the system whose true dynamics are the prior.
        dataset: `observations` to reconstruct from, and `truth` to follow the error by.
        steps: number of descent steps.
        minutes: no further windows are begun after so long; at least some are done.
        resume: go on after the windows that are done.

    Raises:
        InputError: there are windows done already and `resume` is not set, or they took another
            number of steps, or another process is at work on them.
    """
    path.mkdir(parents=True, exist_ok=True)
    with locked(path, wait=False) as claim:
        return _descend(claim, system, dataset, steps, minutes, resume)


def _descend(claim, system, dataset, steps, minutes, resume) -> DescentRun:
    file = claim.path / "descent.npz"
    windows = dataset.sizes["window"]
    run = None
    if file.is_file():
        if not resume:
            raise InputError(f"{file} exists and is left as it is; resume=True goes on with it.")
        run = load_descent(claim.path)
        if run.steps != steps:
            raise InputError(f"{file} took {run.steps} steps; received {steps}.")
    flow = true_flow(system, dtype="float64")
    budget = np.inf if minutes is None else 60 * minutes
    while run is None or (len(run.states) < windows and run.seconds < budget):
        begin = 0 if run is None else len(run.states)
        some = dataset.isel(window=slice(begin, min(begin + WINDOWS_AT_ONCE, windows)))
        new = _descend_at_once(system, some, flow, steps)
        check_states(new.states, f"the descent diverges there, after {begin} windows that are kept")
        run = new if run is None else _joined(run, new)
        with atomic_path(file) as temporary:
            np.savez(temporary, **run._asdict())
            claim.check()
        logger.info("descent: %d of %d windows", len(run.states), windows)
    done = min(len(run.states), windows)
    seconds = run.seconds * done / len(run.states)
    return DescentRun(run.states[:done], run.pathways[:done], steps, seconds)


def _descend_at_once(system, dataset, flow, steps) -> DescentRun:
    observations, truth = dataset["observations"].values, dataset["truth"].values
    nature = system_by_name(system)
    problem = Problem(observations, flow, noise_variance=1.0)  # of an average, all weigh the same
    pathway = []
    started = time.monotonic()
    for iterate in FixedStepDescent(steps).iterates(problem):
        states = iterate.states
        cost = fourdvar_score(states, observations, nature.step)
        pathway.append(np.stack([r_score(states, truth), cost], axis=-1))
    report_convergence(iterate.converged)
    return DescentRun(states, np.stack(pathway, axis=1), steps, time.monotonic() - started)


def _joined(some: DescentRun, more: DescentRun) -> DescentRun:
    return DescentRun(
        np.concatenate([some.states, more.states]),
        np.concatenate([some.pathways, more.pathways]),
        some.steps,
        some.seconds + more.seconds,
    )


def load_descent(path: Path) -> DescentRun:
    """The windows of a folder that are done.

    Args:
        path: the folder of `descent_run`.

    Raises:
        InputError: they cannot be read.
    """
    file = path / "descent.npz"
    try:
        with file.open("rb") as stream, np.load(stream) as record:
            return DescentRun(
                record["states"],
                record["pathways"],
                int(record["steps"]),
                float(record["seconds"]),
            )
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
        raise InputError(
            f"{file} is damaged or of an earlier version ({first_line(error)}); delete it, and the "
            "descent begins anew."
        ) from error
