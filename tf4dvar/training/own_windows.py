"""Windows of one's own data, and what is withheld from them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from tf4dvar.data import (
    Layout,
    Members,
    Signature,
    check_observations,
    check_truth,
    covariates_of,
    noise_variance_of,
)
from tf4dvar.data.covariates import names_of
from tf4dvar.data.domain import at_sea, land_of
from tf4dvar.errors import InputError
from tf4dvar.evaluation.metrics import mean_where_known
from tf4dvar.models import FourDVarNet
from tf4dvar.models.inputs import observations_of
from tf4dvar.systems import random_stream
from tf4dvar.training.windows import DrawnWindows
from tf4dvar.training.withheld import distance, interpolated, withheld_from

# Of the times, or of the windows, the last ones: what is validated on shares no observation with
# the training.
VALIDATION_SHARE = 0.15
# Windows that begin at random times, for each that would lie beside the others.
OVERLAPPING = 4
# Weight of the observations that are given, by their squared departure, beside those withheld.
GIVEN = 0.1


class WithheldErrors(NamedTuple):
    """Root mean squared errors of a variable, on what was withheld from the validation windows.

    Attributes:
        model: of the states, in the variable's units.
        linear_interpolation: of what lies between its own observations in the window.
    """

    model: float
    linear_interpolation: float


class OwnWindows(DrawnWindows):
    """Windows of one's own data.

    Without true states some observations are withheld, others in every pass, and are the target
    beside the variational cost: single ones, and all of a component in a gap.

    Args:
        told: `observations` and, where they are known, `truth`, `noise_variance` and `covariates`,
            of which `_rows` says where a window is.
        components: names of the components.
        rows: of the windows of the validation, as of `_rows`.
        land: true on land, [*space], where what is told is NaN; None where there is none.
        seed: of the rows of a pass, and of what is withheld.
    """

    def __init__(
        self,
        told: dict[str, np.ndarray | None],
        components: Sequence[str],
        rows: Any,
        land: np.ndarray | None,
        seed: int,
    ):
        self._land = land
        self._told = {name: each for name, each in told.items() if each is not None}
        self._components, self.seed = components, seed
        self.supervised = "truth" in self._told
        self.validation = self._at(rows, random_stream("validation withheld", seed))

    @abstractmethod
    def _rows(self, rng: np.random.Generator) -> Any:
        """Of the windows of a pass, where they are in what is told, as NumPy's index."""

    @abstractmethod
    def physical(self, states: np.ndarray) -> np.ndarray:
        """States in the units of the data.

        Args:
            states: [..., component].
        """

    def drawn(self, rng):
        """See `DrawnWindows`."""
        return self._at(self._rows(rng), rng)

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

    def _at(self, rows, rng):
        """Inputs, target and weights of the windows of these rows."""
        told = {name: each[rows] for name, each in self._told.items()}
        target = told.pop("truth", told["observations"])
        weights: tuple[np.ndarray, ...] = ()
        if not self.supervised:
            withheld = withheld_from(target, rng)
            told["observations"] = np.where(withheld, np.nan, target)
            weights = (np.where(withheld, 1.0 / distance(told["observations"]), GIVEN),)
        if self._land is not None:
            told["land"] = np.broadcast_to(self._land, (len(target), *self._land.shape))
        return told if len(told) > 1 else told["observations"], target, *weights


class SeriesWindows(OwnWindows):
    """Windows of members that begin at random times.

    Args:
        members: the observations, and what is known beside them.
        truth: the true states, NaN where they are not known; or None.
        window, overlap: steps of a window, and those that it shares with its neighbour later.
        seed: of the times at which windows begin, and of what is withheld.
    """

    def __init__(
        self, members: Members, truth: Members | None, window: int, overlap: int, seed: int
    ):
        if not 0 <= overlap < window:
            raise InputError(
                f"Received overlap={overlap} of windows of {window} steps; expected 0 or more, and "
                "less than these."
            )
        self._members, self._window, self._overlap = members, window, overlap
        values = np.stack([each.observations.values for each in members.series])
        check_observations(values, rank=values.ndim)
        target = values if truth is None else np.stack(truth.at_times_of(members))
        check_truth(values, target)
        times = values.shape[1]
        first = round(times * (1 - VALIDATION_SHARE))
        if min(first, times - first) < window:
            raise InputError(
                f"Received {times} times for windows of {window}, of which the last "
                f"{VALIDATION_SHARE:.0%} are for validation; expected at least one window in each "
                f"part: {int(window / VALIDATION_SHARE) + 1} times, or a shorter window."
            )
        self._first = first
        self.number = max(len(values) * (OVERLAPPING * first // window), 1)
        self.observations, self.truth = values[:, :first], target[:, :first]
        one = members.first
        variances, known = (
            [getattr(each, name) for each in members.series]
            for name in ("noise_variance", "covariates")
        )
        told = {
            "observations": values,
            "truth": None if truth is None else target,
            "noise_variance": None if one.noise_variance is None else np.stack(variances),
            "covariates": None if one.covariates is None else np.stack(known),
        }
        begins = np.arange(first, times - window + 1, window)
        numbers = np.repeat(np.arange(len(values)), len(begins))
        rows = self._from(numbers, np.tile(begins, len(values)))
        land = None if one.land is None else one.land.values
        super().__init__(told, one.layout.variables, rows, land, seed)

    def adapt(self, model):
        """See `TrainingWindows`."""
        members, one = self._members, self._members.first
        trained_on = [each.observations[: self._first] for each in members.series]
        windows = members.windows(trained_on, self._window)
        model.adapt(windows.values, self.truth if self.supervised else None)
        model.signature = Signature.of(
            windows,
            transforms=[one.transforms.get(name) for name in one.layout.variables],
            overlap=self._overlap,
            covariates=names_of(one.dataset),
        )

    def physical(self, states):
        """See `OwnWindows`; off the scale of the transforms."""
        return self._members.first.physical(states)

    def _rows(self, rng):
        begins = rng.integers(0, self._first - self._window + 1, self.number)
        return self._from(rng.integers(0, len(self.observations), self.number), begins)

    def _from(self, numbers, begins):
        """Of each window its member and its times."""
        return numbers[:, None], begins[:, None] + np.arange(self._window)


class GivenWindows(OwnWindows):
    """Windows as a data set has them, with its true states where it has some.

    Args:
        dataset: of windows.
        seed: of their order, and of what is withheld.
    """

    def __init__(self, dataset: xr.Dataset, seed: int):
        layout = Layout.of(dataset)
        land = land_of(dataset, layout.time, layout.space)
        self._dataset = dataset = at_sea(dataset, land)
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
        rows = np.arange(self.number, windows)
        super().__init__(told, layout.variables, rows, None if land is None else land.values, seed)

    def adapt(self, model):
        """See `TrainingWindows`."""
        model.adapt(self._dataset.isel(window=slice(self.number)))

    def physical(self, states):
        """See `OwnWindows`; they are so."""
        return states

    def _rows(self, rng):
        return rng.permutation(self.number)
