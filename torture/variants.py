"""One series in many forms: what may happen to a file on its way to a user."""

import cftime
import numpy as np
import pandas as pd
import xarray as xr

ROWS = 60
# Rows without an observation, which a file may have or not.
BLANK = slice(20, 24)
# By which packing rounds, in deviations of a variable.
ROUNDING = 2e-3


def series() -> xr.Dataset:
    """Two variables of different units, hourly, with gaps."""
    rng = np.random.default_rng(0)
    hours = np.arange(ROWS)
    waves = np.sin(2 * np.pi * hours / 24), np.cos(2 * np.pi * hours / 24)
    data = xr.Dataset(
        {
            "t": ("time", 15 + 8 * waves[0], {"units": "degC"}),
            "p": ("time", 101_300 + 500 * waves[1], {"units": "Pa"}),
        },
        {"time": pd.date_range("2021-03-01", periods=ROWS, freq="h")},
    )
    data = data.where(xr.DataArray(rng.random(ROWS) < 0.7, dims="time"))
    for name in data:
        data[name][BLANK] = np.nan
    return data


def _in_calendar(data):
    times = pd.DatetimeIndex(data["time"].values)
    dates = [cftime.DatetimeNoLeap(*each.timetuple()[:6]) for each in times]
    return data.assign_coords(time=dates)


def _in_hours(data):
    hours = (data["time"].values - np.datetime64("2021-01-01")) / np.timedelta64(1, "h")
    return data.assign_coords(time=("time", hours, {"units": "hours since 2021-01-01"}))


def _packed(data):
    for name in {"t", "p"} & {*data}:
        scale = 16.0 / 2**15 if name == "t" else 1100.0 / 2**15
        offset = 15.0 if name == "t" else 101_300.0
        data[name].encoding = {
            "dtype": "int16",
            "scale_factor": scale,
            "add_offset": offset,
            "_FillValue": np.int16(-32768),
        }
    return data


def _with_fill_value(data):
    for name in {"t", "p"} & {*data}:
        data[name].encoding = {"_FillValue": -9999.0}
    return data


def _with_level(data):
    if "depth" in data.dims:
        return data
    levelled = {name: data[name].expand_dims(depth=[0.0], axis=1) for name in {"t", "p"} & {*data}}
    return data.assign(levelled)


SAME = {
    "other order": lambda data: data[["p", "t"]],
    "blank rows left out": lambda data: data.drop_isel(time=range(BLANK.start, BLANK.stop)),
    "another calendar": _in_calendar,
    "hours since": _in_hours,
    "packed": _packed,
    "a fill value": _with_fill_value,
    "single precision": lambda data: data.astype("float32", keep_attrs=True),
    "a level": _with_level,
    "a level first": lambda data: _with_level(data).transpose("depth", "time"),
    "another variable": lambda data: data.assign(station=((), 7.0)),
}
"""Changes after which the same values come out."""

# Of these a file has one at most: each says anew what its times are.
APART = {"another calendar", "hours since"}

REFUSED = {
    "rows twice": lambda data: data.isel(time=np.repeat(np.arange(data.sizes["time"]), 2)),
    "a row twice": lambda data: data.isel(time=np.sort([*range(data.sizes["time"]), 7])),
    "backwards": lambda data: data.isel(time=slice(None, None, -1)),
    "shuffled": lambda data: data.isel(
        time=np.random.default_rng(1).permutation(data.sizes["time"])
    ),
    "every second row": lambda data: data.isel(time=slice(None, None, 2)),
    "irregular": lambda data: data.assign_coords(
        time=data["time"] + (np.arange(data.sizes["time"]) ** 2 * 20).astype("m8[s]")
    ),
    "another unit": lambda data: data.assign(p=(data["p"] / 100).assign_attrs(units="hPa")),
    "another name": lambda data: data.rename(p="q"),
    "one variable": lambda data: data[["t"]],
    "three variables": lambda data: data.assign(q=data["t"]),
}
"""Changes after which there is no right answer."""

FORMATS = {
    "nc": lambda data, path: data.to_netcdf(path, engine="h5netcdf"),
    "nc3": lambda data, path: data.to_netcdf(path, engine="scipy"),
    "zarr": lambda data, path: data.to_zarr(path, zarr_format=2, consolidated=True),
}


def changed(data: xr.Dataset, names: list[str]) -> xr.Dataset:
    """The data after some changes of either kind, in their order.

    Args:
        data: of `series`.
        names: of changes.
    """
    for name in names:
        data = (SAME | REFUSED)[name](data.copy(deep=True))
    return data


def departure(found: xr.Dataset, expected: xr.Dataset) -> float:
    """How far the states of a changed file are from those of the series, in deviations.

    Args:
        found: what came out, whose rows are some of the series'.
        expected: of the series.
    """
    rows = np.arange(ROWS)
    if found.sizes["time"] < ROWS:
        rows = np.delete(rows, np.arange(BLANK.start, BLANK.stop))
    return max(
        float(np.abs(found[name].values.ravel() - of.values[rows]).max() / of.values.std())
        for name, of in expected.items()
    )
