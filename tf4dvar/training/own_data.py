"""Training on a data set of one's own."""

from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from tf4dvar.data import Members
from tf4dvar.data.signature import WINDOW
from tf4dvar.experiments import Experiment
from tf4dvar.layers import GENN, GradientSolver, LSTMCell, Prior
from tf4dvar.models import FourDVarNet, SupervisedLoss
from tf4dvar.training.fitting import fit_windows
from tf4dvar.training.job import check_minutes, definition_of
from tf4dvar.training.own_windows import GivenWindows, SeriesWindows, WithheldErrors
from tf4dvar.training.run_directory import RunDirectory

# Weight of the prior in the loss.
PRIOR = 0.02


def train_on(
    data: Members | xr.Dataset,
    out: str | Path,
    truth: Members | None = None,
    *,
    window: int = WINDOW,
    overlap: int | None = None,
    flow: Prior | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    iterations: int | None = None,
    seed: int = 0,
    resume: bool = False,
    told: dict[str, Any] | None = None,
    verbose: str | int = "auto",
) -> tuple[FourDVarNet, dict[str, WithheldErrors]]:
    """Train a model on a series or on windows of one's own, or continue its training.

    The prior is a GENN, or known dynamics; the solver has an LSTM and begins with linear
    interpolation. With true states the loss is supervised. Without any it is the error on
    observations that are withheld, others in every pass, beside the variational cost. The last
    15 % of the times, or of the windows, are for validation.

    Args:
        data: a series or several, as `Members.of` gives them, of which windows begin at random
            times; or a data set of windows, which has their `truth` if that is known. Land, where a
            mask says so, takes no part.
        out: the run directory; see `RunDirectory`.
        truth: of series, true states of the same variables, at the same times or some of them.
        window, overlap: of series, steps of the windows, and those that neighbours share when it
            is reconstructed, by default a quarter of a window.
        flow: known dynamics as the prior.
        epochs, minutes, iterations, seed, resume, verbose: as for `train`.
        told: what else the run directory is to record.

    Returns:
        The trained model, which is also in `out/model.keras`, and its errors on withheld
        observations, or on the truth where that is known, by variable.

    Raises:
        InputError: the data are too few or have too little in them; see `RunDirectory.claimed`.
    """
    check_minutes(minutes)
    overlap = window // 4 if overlap is None else overlap
    windows = (
        SeriesWindows(data, truth, window, overlap, seed)
        if isinstance(data, Members)
        else GivenWindows(data, seed)
    )
    experiment = Experiment(
        name="own data",
        summary="one's own data",
        system="",
        build=partial(_network, flow, windows.noise_variance),
        setting="sup" if windows.supervised else "unsup",
        prior="genn" if flow is None else "flow",
        update="lstm",
        loss=SupervisedLoss(PRIOR if windows.supervised else 0.0, state_weight=PRIOR),
        windows=windows.number,
        batch_size=64,
        learning_rate=6e-3,
        warm_up=0.02,
        stages=((0.0, 3),),
    )
    options = {
        "data": "a data set",
        **(told or {}),
        "window": window,
        "overlap": overlap,
        "epochs": epochs or (None if minutes else experiment.epochs),
        "minutes": minutes,
        "iterations": iterations,
        "windows": windows.number,
        "seed": seed,
    }
    run = RunDirectory(Path(out))
    with run.claimed(options, definition_of(experiment), resume) as claimed:
        model = fit_windows(experiment, claimed, options, windows, verbose=verbose)
    return model, windows.errors(model)


def _network(flow, noise_variance):
    prior = GENN(units=10, scale=None) if flow is None else flow
    solver = GradientSolver(LSTMCell())
    return FourDVarNet(prior, solver, noise_variance=noise_variance)
