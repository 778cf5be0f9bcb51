"""Training on a data set of one's own."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf4dvar.data import Series, Signature, check_observations, check_truth
from tf4dvar.data.covariates import names_of
from tf4dvar.data.pipeline import batches_of
from tf4dvar.data.signature import OVERLAP, WINDOW
from tf4dvar.errors import InputError
from tf4dvar.experiments import Experiment
from tf4dvar.layers import GENN, GradientSolver, LSTMCell, Prior
from tf4dvar.models import FourDVarNet, SupervisedLoss
from tf4dvar.models.inputs import observations_of
from tf4dvar.systems import random_stream
from tf4dvar.systems.axes import axes_but
from tf4dvar.training.fitting import fit_windows
from tf4dvar.training.job import check_minutes, definition_of
from tf4dvar.training.run_directory import RunDirectory
from tf4dvar.training.windows import TrainingWindows

# Of the times, the last ones: what is validated on shares no observation with the training.
VALIDATION_SHARE = 0.15
# Windows that begin at random times, for each that would lie beside the others.
OVERLAPPING = 4
# Weights of the variational cost beside the withheld observations: of those that are given, by
# their squared departure, and of the prior.
GIVEN, PRIOR = 0.1, 0.02
# Share of the observations that is withheld one by one.
SINGLE = 0.1


class WithheldErrors(NamedTuple):
    """Root mean squared errors of a variable, on what was withheld from the validation windows.

    Attributes:
        model: of the states, in the variable's units.
        linear_interpolation: of what lies between its own observations in the window.
    """

    model: float
    linear_interpolation: float


def train_on(
    series: Series,
    out: str | Path,
    truth: Series | None = None,
    *,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    flow: Prior | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    iterations: int | None = None,
    seed: int = 0,
    resume: bool = False,
    told: dict[str, Any] | None = None,
    verbose: str | int = "auto",
) -> tuple[FourDVarNet, dict[str, WithheldErrors]]:
    """Train a model on a series of one's own, or continue its training.

    The prior is a GENN, or known dynamics; the solver has an LSTM and begins with linear
    interpolation. With true states the loss is supervised. Without any it is the error on
    observations that are withheld, others in every pass, beside the variational cost. The last
    15 % of the times are for validation.

    Args:
        series: the observations, and what is known beside them.
        out: the run directory; see `RunDirectory`.
        truth: true states of the same variables, at the same times or some of them.
        window, overlap: steps of the windows, and those that neighbours share when a series is
            reconstructed.
        flow: known dynamics as the prior.
        epochs, minutes, iterations, seed, resume, verbose: as for `train`.
        told: what else the run directory is to record.

    Returns:
        The trained model, which is also in `out/model.keras`, and its errors on withheld
        observations, or on the truth where that is known, by variable.

    Raises:
        InputError: the series is too short or has too little in it; see `RunDirectory.claimed`.
    """
    check_minutes(minutes)
    windows = OwnWindows(series, truth, window, overlap, seed)
    experiment = Experiment(
        name="own data",
        summary="one's own series",
        system="",
        build=partial(_network, flow, windows.noise_variance),
        setting="unsup" if truth is None else "sup",
        prior="genn" if flow is None else "flow",
        update="lstm",
        loss=SupervisedLoss(truth_weight=0.0 if truth is None else PRIOR, state_weight=PRIOR),
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


class OwnWindows(TrainingWindows):
    """Windows of a series that begin at random times.

    Without true states some observations are withheld, others in every pass, and are the target
    beside the variational cost: single ones, and all of a component in a gap.

    Args:
        series: the observations.
        truth: the true states, NaN where they are not known; or None.
        window, overlap: steps of a window, and those that it shares with its neighbour later.
        seed: of the times at which windows begin, and of what is withheld.
    """

    def __init__(self, series: Series, truth: Series | None, window: int, overlap: int, seed: int):
        values = series.observations.values
        check_observations(values[None], rank=values.ndim + 1)
        self.series, self._seed, self.supervised = series, seed, truth is not None
        variance = series.noise_variance
        self._noise_variance = None if variance is None else variance.values
        self._covariates = None if series.covariates is None else series.covariates.values
        target = values if truth is None else truth.at_times_of(series).values
        check_truth(values[None], target[None])
        first = round(len(values) * (1 - VALIDATION_SHARE))
        if min(first, len(values) - first) < window:
            raise InputError(
                f"Received {len(values)} times for windows of {window}, of which the last "
                f"{VALIDATION_SHARE:.0%} are for validation; expected at least one window in each "
                f"part: {int(window / VALIDATION_SHARE) + 1} times, or a shorter window."
            )
        self.window, self._overlap, self._first = window, overlap, first
        self._values, self._target = values, target
        self.observations, self.truth = values[None, :first], target[None, :first]
        self.number = max(OVERLAPPING * first // window, 1)
        begins = np.arange(first, len(values) - window + 1, window)
        self.validation = self._drawn(begins, random_stream("validation withheld", seed))

    def adapt(self, model):
        """See `TrainingWindows`."""
        series = self.series
        windows = series.windows(series.observations[: self._first], self.window)
        model.adapt(windows.values, self.truth if self.supervised else None)
        transforms = [series.transforms.get(name) for name in series.layout.variables]
        model.signature = Signature.of(
            windows,
            transforms=transforms,
            overlap=self._overlap,
            covariates=names_of(series.dataset),
        )

    def batches(self, batch_size, first_pass, share):
        """See `TrainingWindows`."""

        def drawn(number):
            rng = random_stream("training windows", self._seed, number)
            return self._drawn(rng.integers(0, self._first - self.window + 1, self.number), rng)

        shapes = tf.nest.map_structure(lambda each: each.shape[1:], self.validation)
        return batches_of(drawn, self.number, batch_size, first_pass, share, shapes)

    @property
    def noise_variance(self) -> list[float] | None:
        """Of each component the mean variance of the noise, where it is told."""
        if self._noise_variance is None:
            return None
        known = np.where(np.isfinite(self._values), self._noise_variance, np.nan)
        return np.nanmean(known, axes_but(-1, known)).tolist()

    def errors(self, model: FourDVarNet) -> dict[str, WithheldErrors]:
        """Of a model in the validation windows, by variable; see `train_on`.

        Args:
            model: trained on these windows.
        """
        inputs, target, *weights = self.validation
        observations = observations_of(inputs)
        judged = np.isfinite(target) & (np.isnan(observations) if weights else True)
        both = []
        for states in (model.predict(inputs, verbose=0), interpolated(observations)):
            squared = np.square(self.series.physical(states) - self.series.physical(target))
            mean = np.mean(squared, axes_but(-1, squared), where=judged)
            both.append(np.sqrt(mean).tolist())
        return dict(zip(self.series.layout.variables, map(WithheldErrors, *both), strict=True))

    def _drawn(self, begins, rng):
        """Inputs, target and weights of the windows that begin there."""
        rows = begins[:, None] + np.arange(self.window)
        observations, target = self._values[rows], self._target[rows]
        weights: tuple[np.ndarray, ...] = ()
        if not self.supervised:
            withheld = withheld_from(observations, rng)
            observations = np.where(withheld, np.nan, observations)
            weights = (np.where(withheld, 1.0 / distance(observations), GIVEN),)
        beside = {"noise_variance": self._noise_variance, "covariates": self._covariates}
        told = {name: values[rows] for name, values in beside.items() if values is not None}
        return {"observations": observations, **told} if told else observations, target, *weights


def withheld_from(observations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which observations to withhold: a tenth, and in every other window as gaps lie elsewhere.

    A component is withheld where it is missing in another window: the gaps that are to be learned
    are those of the data.

    Args:
        observations: [window, time, *space, component].
        rng: draws them.
    """
    windows, *_, components = observations.shape
    missing = np.isnan(observations)[rng.permutation(windows)]
    beside = (windows, *[1] * (observations.ndim - 2), components)
    elsewhere = missing & (rng.random(beside) < 0.5)
    return (elsewhere | (rng.random(observations.shape) < SINGLE)) & np.isfinite(observations)


def distance(observations: np.ndarray) -> np.ndarray:
    """Steps to the nearest observation of the place in the window, 1 at least.

    Args:
        observations: [window, time, *space, component].
    """
    observed = np.isfinite(observations)
    steps = observations.shape[1]
    times = np.arange(steps, dtype=float).reshape(-1, *[1] * (observations.ndim - 2))
    last = np.maximum.accumulate(np.where(observed, times, -np.inf), axis=1)
    following = np.minimum.accumulate(np.where(observed, times, np.inf)[:, ::-1], axis=1)[:, ::-1]
    return np.clip(np.minimum(times - last, following - times), 1.0, steps)


def interpolated(observations: np.ndarray) -> np.ndarray:
    """Linear interpolation in time; the mean of the others where a window has nothing.

    Args:
        observations: [window, time, *space, component], NaN = not observed.
    """
    filled = observations.copy()
    times = np.arange(observations.shape[1])
    # A view: what is filled in a row is filled in the windows.
    by_place = np.moveaxis(filled, 1, -1)
    for place in np.ndindex(by_place.shape[:-1]):
        row = by_place[place]
        known = np.isfinite(row)
        if known.any():
            row[:] = np.interp(times, times[known], row[known])
    mean = np.nanmean(filled, axes_but(-1, filled))
    return np.where(np.isnan(filled), mean, filled)
