"""A model on a series of any length: windows of it, and their states joined."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tf4dvar.data import Series
from tf4dvar.data.signature import OVERLAP
from tf4dvar.errors import InputError
from tf4dvar.models.labelled import covariates_for, noise_scale

if TYPE_CHECKING:
    from tf4dvar.models import FourDVarNet

# Windows that are looked at and worked on at once.
BATCH = 32

Progress = Callable[[int, int], None]


def series_of(model: "FourDVarNet", data: xr.Dataset | xr.DataArray) -> Series:
    """Data as a series that a model knows, with the transforms of its training.

    Args:
        model: the model.
        data: a data set, as `open_data` gives it.

    Raises:
        InputError: see `Series.of`, or there is a component that the model does not know.
    """
    series = Series.of(data, transforms=model.transforms)
    unknown = set(series.transforms) - set(series.layout.variables)
    if unknown:
        raise InputError(
            f"Received the variables {', '.join(series.layout.variables)}; the model was trained "
            f"on a transform of {', '.join(sorted(unknown))}. Give that too."
        )
    return series


def states_of_series(
    model: "FourDVarNet",
    series: Series,
    predict: Callable[[dict[str, np.ndarray]], np.ndarray],
    progress: Progress = lambda done, whole: None,
) -> Iterator[xr.Dataset]:
    """The states of a series, slab by slab in time, in the form of its data set.

    It is cut into windows as long as those of the training, which overlap, and whose states are
    blended; the memory holds some windows, however long the series is.

    Args:
        model: a built model.
        series: of `series_of`.
        predict: gives states for inputs of the model.
        progress: is told how many windows are done, and of how many.

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
        signature.warn_of(series.windows(observations.isel(indices), model.window))
    patches = series.patches(model.window, overlap)
    cuts = {"observations": patches.cut(observations.isel(indices), BATCH)}
    if variance is not None:
        scaled = variance * noise_scale(model, variance[: model.window].values)
        cuts["noise_variance"] = patches.cut(scaled.isel(indices), BATCH)
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

    yield from series.restored(map(in_order, patches.join(states())))
