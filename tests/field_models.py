"""A small model of fields, untrained, and windows for it."""

import numpy as np
import xarray as xr

from tf4dvar.layers import (
    BilinearAutoEncoder,
    GradientSolver,
    LSTMCell,
    OptimalInterpolation,
    UNetFirstGuess,
)
from tf4dvar.models import FourDVarNet

STEPS = 5
DIMS = ("window", "time", "y", "x", "component")


def field_windows(windows=6, seed=0):
    """[window, time, y, x, 1], three quarters of it not observed."""
    rng = np.random.default_rng(seed)
    values = 3 + rng.normal(size=(windows, STEPS, 8, 8, 1))
    return np.where(rng.random(values.shape) < 0.75, np.nan, values).astype("float32")


def field_model(interpolates=True, boundary="periodic"):
    """An interpolation, if it is wanted, a U-Net, and a solver after them; in a periodic box."""
    box = {"segment": STEPS, "boundary": boundary}
    start = None
    if interpolates:
        start = OptimalInterpolation(2.0, 4.0, drift=(0.0, 0.2), boundary=boundary)
    model = FourDVarNet(
        BilinearAutoEncoder(4, scales=(2,), **box),
        GradientSolver(LSTMCell(4, **box), 2),
        first_guess=UNetFirstGuess(4, 1, tile=2, start=start, **box),
    )
    model.adapt(field_windows(20, seed=1))
    if interpolates:  # the net begins as none, which would hide what is wrong with it
        kernel = model.first_guess.leave.kernel
        kernel.assign(0.3 * np.random.default_rng(2).normal(size=kernel.shape))
    return model


def write_field_windows(path, windows=6, seed=0):
    """The same as a file of windows."""
    values = field_windows(windows, seed)
    dataset = xr.Dataset({"observations": (DIMS, values)}, {"component": ["ssh"]})
    dataset.to_netcdf(path, engine="h5netcdf")
    return values
