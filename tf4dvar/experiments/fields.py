"""Models of fields: heights of a sea along the tracks of altimeters, temperatures below clouds."""

from functools import partial
from typing import Any

from tf4dvar.experiments.experiment import Experiment
from tf4dvar.layers import (
    BilinearAutoEncoder,
    GradientSolver,
    LSTMCell,
    OptimalInterpolation,
    UNetFirstGuess,
)
from tf4dvar.models import FourDVarNet

# Days of a window: what is ten days away still tells of a map of heights, four of temperatures.
DAYS, DAYS_OF_CLOUDS = 21, 9
# Of the published design.
DAYS_OF_PAPER = 15


def _of_heights() -> FourDVarNet:
    """Of heights in a periodic box."""
    start = OptimalInterpolation(
        5.0, 10.0, 8.0, drift=(0.0, 0.2), boundary="periodic", trainable=False
    )
    return _corrected(start, DAYS)


def _of_temperatures() -> FourDVarNet:
    """Of temperatures on any grid: fronts are as rough as the interpolation can be."""
    start = OptimalInterpolation(
        6.0,
        9.0,
        1.3,
        noise_variance=0.01,
        drift=(0.0, 0.4),
        shortest_wavelength=4.0,
        shortest_period=2.0,
        trainable=False,
    )
    return _corrected(start, DAYS_OF_CLOUDS)


def _published() -> FourDVarNet:
    """The published design, of the sizes of 4DVarNet for heights: no first guess but the data.

    See Beauchamp et al. 2023, doi:10.5194/gmd-16-2119-2023.
    """
    return FourDVarNet(
        BilinearAutoEncoder(32, scales=(2,), segment=DAYS_OF_PAPER),
        GradientSolver(LSTMCell(48, segment=DAYS_OF_PAPER), iterations=10),
    )


def _corrected(start: OptimalInterpolation, days: int) -> FourDVarNet:
    """A U-Net that corrects an optimal interpolation, and a solver after it.

    The interpolation is not trained: a step would take twice the time, for what the U-Net corrects.
    """
    box: dict[str, Any] = {"segment": days, "boundary": start.boundary}
    return FourDVarNet(
        BilinearAutoEncoder(32, scales=(2,), **box),
        GradientSolver(LSTMCell(32, **box)),
        first_guess=UNetFirstGuess(64, 2, tile=2, start=start, **box),
    )


_Fields = partial(
    Experiment,
    system="qg",
    build=_of_heights,
    setting="sup",
    prior="autoencoder",
    update="lstm",
    fresh=True,
    windows=400,
    batch_size=4,
    steps=DAYS,
    epochs=100,
    learning_rate=1e-3,
    stages=((0.0, 0), (0.75, 2)),
)
_Published = partial(
    _Fields,
    summary="the published design, beside ours: bilinear auto-encoder and convolutional LSTM",
    build=_published,
    steps=DAYS_OF_PAPER,
    stages=((0.0, 10),),
)

EXPERIMENTS = (
    _Fields(
        "qg-nadirs",
        "sea-surface height from four altimeters: interpolation, then a learned U-Net and solver",
        protocol="nadirs",
    ),
    _Fields(
        "qg-swath",
        "sea-surface height from four altimeters and one that sees 120 km across, as qg-nadirs",
        protocol="swath",
    ),
    _Fields(
        "tracer-clouds",
        "surface temperature below clouds, of any size beside the grid's",
        system="qg-tracer",
        build=_of_temperatures,
        steps=DAYS_OF_CLOUDS,
        protocol="clouds",
        refinements=(1, 2, 4),
    ),
    _Published("qg-nadirs-paper", protocol="nadirs"),
    _Published("qg-swath-paper", protocol="swath"),
    _Published("tracer-clouds-paper", system="qg-tracer", protocol="clouds"),
)
