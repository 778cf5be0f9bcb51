"""Small data sets as users' files have them."""

import numpy as np
import xarray as xr

PACKED = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 10.0, "_FillValue": -32768}


def table(hours=48, calendar=None, rng=None):
    """A station's series of two variables, with gaps."""
    rng = rng or np.random.default_rng(0)
    if calendar:
        times = xr.date_range(
            "2001-02-20", periods=hours, freq="h", calendar=calendar, use_cftime=True
        )
    else:
        times = np.datetime64("2001-02-20") + np.arange(hours) * np.timedelta64(1, "h")
    values = rng.normal(size=(2, hours))
    values[rng.random((2, hours)) < 0.3] = np.nan
    return xr.Dataset(
        {
            "temperature": ("time", 290 + values[0], {"units": "K"}),
            "pressure": ("time", 101325 + 800 * values[1], {"units": "Pa"}),
        },
        {"time": ("time", times, {"standard_name": "time"})},
        {"title": "a station"},
    )


def field(times=6, height=4, width=5, rng=None):
    """A map of the sea at daily times, as float32."""
    rng = rng or np.random.default_rng(0)
    values = rng.normal(15, 3, size=(times, height, width)).astype("float32")
    values[rng.random(values.shape) < 0.3] = np.nan
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), values, {"units": "degC", "long_name": "temperature"})},
        {
            "time": np.datetime64("2001-01-01") + np.arange(times) * np.timedelta64(1, "D"),
            "lat": ("lat", np.linspace(40, 42, height), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(5, 8, width), {"units": "degrees_east"}),
        },
    )
