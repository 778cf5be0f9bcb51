"""A model on a series of any length: windows of it, and their states joined."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tf4dvar.data import Members, Series
from tf4dvar.data.series import with_errors
from tf4dvar.data.signature import OVERLAP
from tf4dvar.errors import InputError
from tf4dvar.models.labelled import covariates_for, noise_scale

if TYPE_CHECKING:
    from tf4dvar.models import FourDVarNet

# Windows that are looked at and worked on at once.
BATCH = 32

Predict = Callable[[dict[str, np.ndarray]], np.ndarray]
Progress = Callable[[int, int], None]


def members_for(model: "FourDVarNet", members: Members) -> Members:
    """Members as a model knows them, with the transforms of its training.

    Args:
        model: the model.
        members: of a data set.

    Raises:
        InputError: the model knows the transform of a variable that is not there.
    """
    unknown = set(model.transforms) - set(members.first.layout.variables)
    if unknown:
        raise InputError(
            f"Received the variables {', '.join(members.first.layout.variables)}; the model was "
            f"trained on a transform of {', '.join(sorted(unknown))}. Give that too."
        )
    return members.with_transforms(model.transforms)


def states_and_errors_of_members(
    model: "FourDVarNet",
    members: Members,
    posterior: Callable[[dict[str, np.ndarray]], tuple[np.ndarray, np.ndarray]],
    progress: Progress = lambda done, whole: None,
) -> Iterator[xr.Dataset]:
    """As `states_of_members`, with `NAME_error` beside each variable, see `with_errors`.

    Args:
        model, members, progress: as there.
        posterior: gives states and their standard deviations for inputs of the model.
    """
    # Each is joined of windows that overlap, by a way of its own, and both take the same steps.
    kept: deque[np.ndarray] = deque()

    def mean(inputs: dict[str, np.ndarray]) -> np.ndarray:
        states, errors = posterior(inputs)
        kept.append(errors)
        return states

    states = states_of_members(model, members, mean, progress)
    errors = states_of_members(model, members, lambda _: kept.popleft(), errors=True)
    for each in zip(states, errors, strict=False):
        yield with_errors(*each, members.first.transforms)


def states_of_members(
    model: "FourDVarNet",
    members: Members,
    predict: Predict,
    progress: Progress = lambda done, whole: None,
    errors: bool = False,
) -> Iterator[xr.Dataset]:
    """The states of members, each by itself, slab by slab in time, in the form of their data set.

    Args:
        model: a built model.
        members: of `members_for`.
        predict, progress, errors: see `states_of_series`.

    Yields:
        Data sets one after the other, see `Members.joined`.

    Raises:
        InputError: see `states_of_series`.
    """
    number, done = len(members.series), [0] * len(members.series)

    def of_member(place: int) -> Progress:
        def report(finished: int, whole: int) -> None:
            done[place] = finished
            progress(sum(done), number * whole)

        return report

    yield from members.joined(
        states_of_series(model, series, predict, of_member(place), errors)
        for place, series in enumerate(members.series)
    )


def states_of_series(
    model: "FourDVarNet",
    series: Series,
    predict: Predict,
    progress: Progress = lambda done, whole: None,
    errors: bool = False,
) -> Iterator[xr.Dataset]:
    """The states of a series, slab by slab in time, in the form of its data set.

    It is cut into windows as long as those of the training, which overlap, and whose states are
    blended; the memory holds some windows, however long the series is.

    Args:
        model: a built model.
        series: of `members_for`.
        predict: gives states for inputs of the model.
        progress: is told how many windows are done, and of how many.
        errors: whether these are errors of states, which stay on the scale of the transforms; what
            is to be said of the series has been said of the states.

    Yields:
        Data sets one after the other, see `Series.restored`.

    Raises:
        InputError: labels, units, time step or grid are not those of the training.
    """
    observations, variance = series.observations, series.noise_variance
    signature = model.signature
    overlap = OVERLAP if signature is None else signature.overlap
    indices = {}
    if signature is not None:
        indices = signature.arrangement(observations)
        if not errors:
            signature.warn_of(series.windows(observations.isel(indices), model.window))
    patches = series.patches(model.window, overlap)
    cuts = {"observations": patches.cut(observations.isel(indices), BATCH)}
    if variance is not None:
        scaled = variance * noise_scale(model, variance[: model.window].values, warnings=not errors)
        cuts["noise_variance"] = patches.cut(scaled.isel(indices), BATCH)
    if series.land is not None:
        land = series.land.isel(indices, missing_dims="ignore")
        cuts["land"] = patches.cut_still(land.values, BATCH)
    if model.covariates:
        known = series.known(covariates_for(model, series.dataset))
        cuts["covariates"] = patches.of_time.cut(known, BATCH)

    def states() -> Iterator[np.ndarray]:
        done = 0
        for batch in zip(*cuts.values(), strict=True):
            yield predict(dict(zip(cuts, (each.astype("float32") for each in batch), strict=True)))
            done += len(batch[0])
            progress(done, len(patches))

    def in_order(slab: np.ndarray) -> np.ndarray:
        for dim, order in indices.items():
            slab = np.take(slab, np.argsort(order), observations.dims.index(dim))
        return slab

    form = replace(series, transforms={}) if errors else series
    yield from form.restored(map(in_order, patches.join(states())))
