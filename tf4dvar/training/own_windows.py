"""Windows of one's own data, and what is withheld from them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import xarray as xr

from tf4dvar.data import (
    Layout,
    Series,
    Signature,
    check_observations,
    check_truth,
    covariates_of,
    noise_variance_of,
)
from tf4dvar.data.covariates import names_of
from tf4dvar.data.pipeline import batches_of
from tf4dvar.errors import InputError
from tf4dvar.evaluation.metrics import mean_where_known
from tf4dvar.models import FourDVarNet
from tf4dvar.models.inputs import observations_of
from tf4dvar.systems import random_stream
from tf4dvar.training.windows import TrainingWindows

# Of the times, or of the windows, the last ones: what is validated on shares no observation with
# the training.
VALIDATION_SHARE = 0.15
# Windows that begin at random times, for each that would lie beside the others.
OVERLAPPING = 4
# Weight of the observations that are given, by their squared departure, beside those withheld.
GIVEN = 0.1
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


class OwnWindows(TrainingWindows):
    """Windows of one's own data.

    Without true states some observations are withheld, others in every pass, and are the target
    beside the variational cost: single ones, and all of a component in a gap.

    Args:
        told: `observations` and, where they are known, `truth`, `noise_variance` and `covariates`;
            of each the first axis is the one that `_rows` counts.
        components: names of the components.
        rows: of the windows of the validation, as of `_rows`.
        seed: of the rows of a pass, and of what is withheld.
    """

    def __init__(
        self,
        told: dict[str, np.ndarray | None],
        components: Sequence[str],
        rows: np.ndarray,
        seed: int,
    ):
        self._told = {name: each for name, each in told.items() if each is not None}
        self._components, self._seed = components, seed
        self.supervised = "truth" in self._told
        self.validation = self._drawn(rows, random_stream("validation withheld", seed))

    @abstractmethod
    def _rows(self, rng: np.random.Generator) -> np.ndarray:
        """Of the windows of a pass, where they are in what is told, [window] or [window, time]."""

    @abstractmethod
    def physical(self, states: np.ndarray) -> np.ndarray:
        """States in the units of the data.

        Args:
            states: [..., component].
        """

    def batches(self, batch_size, first_pass, share):
        """See `TrainingWindows`."""

        def drawn(number):
            rng = random_stream("training windows", self._seed, number)
            return self._drawn(self._rows(rng), rng)

        shapes = tf.nest.map_structure(lambda each: each.shape[1:], self.validation)
        return batches_of(drawn, self.number, batch_size, first_pass, share, shapes)

    @property
    def noise_variance(self) -> list[float] | None:
        """Of each component the mean variance of the noise, where it is told."""
        if "noise_variance" not in self._told:
            return None
        variance, observations = self._told["noise_variance"], self._told["observations"]
        mean = mean_where_known(variance, observations, kept=-1)
        # Of a component without observations the weight is never asked for.
        return np.where(np.isfinite(mean), mean, 1.0).tolist()

    def errors(self, model: FourDVarNet) -> dict[str, WithheldErrors]:
        """Of a model in the validation windows, by variable; on the truth where that is known.

        Args:
            model: trained on these windows.
        """
        inputs, target, *weights = self.validation
        observations = observations_of(inputs)
        judged = np.isfinite(target) & (np.isnan(observations) if weights else True)
        both = []
        for states in (model.predict(inputs, verbose=0), interpolated(observations)):
            squared = np.square(self.physical(states) - self.physical(target))
            mean = mean_where_known(squared, np.where(judged, target, np.nan), kept=-1)
            both.append(np.sqrt(mean).tolist())
        return dict(zip(self._components, map(WithheldErrors, *both), strict=True))

    def _drawn(self, rows, rng):
        """Inputs, target and weights of the windows of these rows."""
        told = {name: each[rows] for name, each in self._told.items()}
        target = told.pop("truth", told["observations"])
        weights: tuple[np.ndarray, ...] = ()
        if not self.supervised:
            withheld = withheld_from(target, rng)
            told["observations"] = np.where(withheld, np.nan, target)
            weights = (np.where(withheld, 1.0 / distance(told["observations"]), GIVEN),)
        return told if len(told) > 1 else told["observations"], target, *weights


class SeriesWindows(OwnWindows):
    """Windows of a series that begin at random times.

    Args:
        series: the observations, and what is known beside them.
        truth: the true states, NaN where they are not known; or None.
        window, overlap: steps of a window, and those that it shares with its neighbour later.
        seed: of the times at which windows begin, and of what is withheld.
    """

    def __init__(self, series: Series, truth: Series | None, window: int, overlap: int, seed: int):
        if not 0 <= overlap < window:
            raise InputError(
                f"Received overlap={overlap} of windows of {window} steps; expected 0 or more, and "
                "less than these."
            )
        self._series, self._window, self._overlap = series, window, overlap
        values = series.observations.values
        check_observations(values[None], rank=values.ndim + 1)
        target = values if truth is None else truth.at_times_of(series).values
        check_truth(values[None], target[None])
        times, first = len(values), round(len(values) * (1 - VALIDATION_SHARE))
        if min(first, times - first) < window:
            raise InputError(
                f"Received {times} times for windows of {window}, of which the last "
                f"{VALIDATION_SHARE:.0%} are for validation; expected at least one window in each "
                f"part: {int(window / VALIDATION_SHARE) + 1} times, or a shorter window."
            )
        self._first, self.number = first, max(OVERLAPPING * first // window, 1)
        self.observations, self.truth = values[None, :first], target[None, :first]
        variance, known = series.noise_variance, series.covariates
        told = {
            "observations": values,
            "truth": None if truth is None else target,
            "noise_variance": None if variance is None else variance.values,
            "covariates": None if known is None else known.values,
        }
        rows = self._from(np.arange(first, times - window + 1, window))
        super().__init__(told, series.layout.variables, rows, seed)

    def adapt(self, model):
        """See `TrainingWindows`."""
        series = self._series
        windows = series.windows(series.observations[: self._first], self._window)
        model.adapt(windows.values, self.truth if self.supervised else None)
        model.signature = Signature.of(
            windows,
            transforms=[series.transforms.get(name) for name in series.layout.variables],
            overlap=self._overlap,
            covariates=names_of(series.dataset),
        )

    def physical(self, states):
        """See `OwnWindows`; off the scale of the transforms."""
        return self._series.physical(states)

    def _rows(self, rng):
        return self._from(rng.integers(0, self._first - self._window + 1, self.number))

    def _from(self, begins):
        return begins[:, None] + np.arange(self._window)


class GivenWindows(OwnWindows):
    """Windows as a data set has them, with its true states where it has some.

    Args:
        dataset: of windows.
        seed: of their order, and of what is withheld.
    """

    def __init__(self, dataset: xr.Dataset, seed: int):
        self._dataset = dataset
        layout = Layout.of(dataset)
        values = layout.stack(dataset).values
        check_observations(values, rank=values.ndim)
        known = dataset.get("truth")
        truth = None if known is None else known.transpose(*layout.dims).values
        check_truth(values, values if truth is None else truth)
        windows = len(values)
        if windows < 2:
            raise InputError(
                f"Received {windows} window; expected two or more, of which the last "
                f"{VALIDATION_SHARE:.0%} are for validation."
            )
        self.number = min(round(windows * (1 - VALIDATION_SHARE)), windows - 1)
        self.observations = values[: self.number]
        self.truth = (values if truth is None else truth)[: self.number]
        variance = noise_variance_of(dataset)
        told = {
            "observations": values,
            "truth": truth,
            "noise_variance": None if variance is None else variance.transpose(*layout.dims).values,
            "covariates": covariates_of(dataset, names_of(dataset)),
        }
        super().__init__(told, layout.variables, np.arange(self.number, windows), seed)

    def adapt(self, model):
        """See `TrainingWindows`."""
        model.adapt(self._dataset.isel(window=slice(self.number)))

    def physical(self, states):
        """See `OwnWindows`; they are so."""
        return states

    def _rows(self, rng):
        return rng.permutation(self.number)


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
    """Linear interpolation in time; the mean of the others where a window has nothing, or NaN.

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
    return np.where(np.isnan(filled), mean_where_known(filled, filled, kept=-1), filled)
