"""A published model that is tuned to the maps it fills."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import xarray as xr

from tf4dvar.classical import Progress
from tf4dvar.classical.fields import FieldAnalysis, FieldProblem
from tf4dvar.data.grid import Grid
from tf4dvar.data.patches import Patches
from tf4dvar.evaluation.reconstruction import predicted
from tf4dvar.experiments import Experiment
from tf4dvar.filling.gap_windows import GapWindows
from tf4dvar.models import FourDVarNet, SupervisedLoss, load_model
from tf4dvar.training.fitting import fit_windows
from tf4dvar.training.job import definition_of
from tf4dvar.training.run_directory import RunDirectory
from tf4dvar.training.worker_share import WorkerShare

MODEL = "tracer-clouds"
# Smoothness of Matern's covariance of each kernel; a large one is a Gaussian.
SMOOTHNESS = {"exponential": 0.5, "matern": 1.5, "gaussian": 8.0}
# Share of the variance that the interpolation takes for noise beside that of observations: what its
# waves are too long for. With less it would converge in many more steps, which it does not take.
ROUGHNESS = {"exponential": 0.15, "matern": 0.01, "gaussian": 0.01}
# Points of a part of the grid that is filled at once, and those that neighbours share.
SIDE, SHARED = 256, 32
# Of a window in time neighbours know this share too.
SHARED_TIMES = 2 / 3


@dataclass
class Network:
    """A model whose first guess corrects an interpolation, tuned to maps.

    Its interpolation has the covariance that `kriging` found. Then it learns, from maps of which
    more is hidden, for some minutes. The stated error is that of kriging, see `Blend`.

    Attributes:
        minutes: of the training.
        run: its folder, which is kept; None: one that is not.
        resume: whether the training that is there goes on.
        states: whole fields to learn from, [sample, time, y, x]; None: what is observed.
        seed: of what it learns from.
        model: that it begins with, a published one's name or a path.

    Raises:
        InputError: a training is in the folder already, or none that could go on.
    """

    minutes: float
    run: Path | None = None
    resume: bool = False
    states: np.ndarray | None = None
    seed: int = 0
    model: str | Path = MODEL
    _tuned: FourDVarNet | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.run is not None:
            RunDirectory(self.run).check(self.resume)

    def analyse(
        self, problem: FieldProblem, progress: Progress, kriging: FieldAnalysis
    ) -> FieldAnalysis:
        """Fill maps; the first time the model is trained on them.

        Args:
            problem: the maps.
            progress: is told how many seconds of the training are over, then how much is filled.
            kriging: its analysis of the same maps.

        Raises:
            NothingHiddenError: there is nothing to learn from.
        """
        if self._tuned is None:
            self._tuned = self._trained(problem, progress, kriging)
        states = _filled(self._tuned, problem, self._untuned.window, progress)
        return FieldAnalysis(states, kriging.spread)

    @cached_property
    def _untuned(self) -> FourDVarNet:
        return load_model(self.model)

    def _trained(self, problem, progress, kriging):
        start = partial(_begun, self.model, kriging.settings or {}, problem)
        maps = replace(problem, states=self.states)
        windows = GapWindows(maps, self._untuned.window, self.seed)
        experiment = Experiment(
            name="fill",
            summary="one's own maps",
            system="",
            build=start,
            setting="sup",
            prior="autoencoder",
            update="lstm",
            loss=SupervisedLoss(),
            windows=windows.number,
            batch_size=4,
            learning_rate=2e-4,
            warm_up=0.05,
            stages=((0.0, self._untuned.iterations),),
        )
        options = {
            "data": "maps",
            "epochs": None,
            "minutes": self.minutes,
            "iterations": None,
            "windows": windows.number,
            "seed": self.seed,
        }
        with (
            _folder(self.run) as folder,
            RunDirectory(folder).claimed(options, definition_of(experiment), self.resume) as run,
        ):
            told = WorkerShare(callbacks=[_seconds_told(progress, self.minutes, run)])
            return fit_windows(experiment, run, options, windows, told, verbose=0)


def _begun(model: str | Path, fitted: Mapping[str, Any], problem: FieldProblem) -> FourDVarNet:
    """The model that is to be tuned, its interpolation with a kernel that was fitted."""
    begun = load_model(model)
    if "kernel" in fitted:
        kernel, spacing = fitted["kernel"], _spacings(problem.grid)
        noise = fitted["noise_factor"] * problem.variance[problem.observed].mean()
        drift = np.array([fitted["drift_y"], fitted["drift_x"]])
        begun.first_guess.start.set_covariance(
            length=fitted["length"] / np.abs(spacing).mean(),
            duration=fitted["days"] / problem.time_step,
            smoothness=SMOOTHNESS[kernel],
            noise_variance=noise / fitted["variance"] + ROUGHNESS[kernel],
            drift=drift * problem.time_step / spacing,
        )
    return begun


def _spacings(grid: Grid) -> np.ndarray:
    """Of rows and of columns, km; negative where a coordinate falls."""
    steps = [np.linalg.norm(np.diff(grid.positions, axis=axis), axis=-1) for axis in (0, 1)]
    signs = [np.sign(np.median(np.diff(each))) for each in (grid.y, grid.x)]
    return np.array([sign * np.median(each) for sign, each in zip(signs, steps, strict=True)])


def _filled(model, problem, window, progress):
    """All maps, [member, time, y, x], from parts that overlap and are blended."""
    days, *space = problem.observations.shape[1:]
    shared = round(SHARED_TIMES * window), SHARED, SHARED
    patches = Patches((days, *space), (window, SIDE, SIDE), shared)
    members = len(problem.observations)
    land = np.zeros(space, bool) if problem.grid.land is None else problem.grid.land
    maps = []
    for number, observed in enumerate(np.where(problem.observed, problem.observations, np.nan)):
        values = xr.DataArray(observed[..., None].astype("float32"))
        both = zip(patches.cut(values, 1), patches.cut_still(land, 1), strict=True)

        def answers(number=number, both=both):
            for done, (seen, of) in enumerate(both, 1 + number * len(patches)):
                yield predicted(model, {"observations": seen, "land": of}, warnings=False)
                progress(done, members * len(patches))

        maps.append(np.concatenate([*patches.join(answers())])[..., 0])
    return np.stack(maps).astype("float64")


@contextmanager
def _folder(run: Path | None) -> Iterator[Path]:
    """That of a training, or one for as long as it lasts."""
    if run is not None:
        yield run
        return
    with TemporaryDirectory() as temporary:
        yield Path(temporary)


def _seconds_told(progress: Progress, minutes: float, run: RunDirectory):
    """A callback that tells after every step how many seconds of the training are over."""
    history = run.history()
    before = float(history[-1]["elapsed"]) if history else 0.0
    started = time.monotonic() - before

    def told(batch, logs):
        progress(min(round(time.monotonic() - started), round(60 * minutes)), round(60 * minutes))

    return keras.callbacks.LambdaCallback(on_train_batch_end=told)
