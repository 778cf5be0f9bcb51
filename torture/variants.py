"""Data in many forms: what may happen to a file on its way to a user."""

from collections.abc import Callable

import cftime
import numpy as np
import pandas as pd
import xarray as xr

ROWS = 60
# Rows without an observation, which a file may have or not.
BLANK = slice(20, 24)
# By which packing rounds, in deviations of a variable.
ROUNDING = 2e-3
# Of packed numbers: what a variable is around, and how far from it at most.
RANGES = {"t": (15.0, 9.0), "p": (101_300.0, 600.0), "sst": (12.0, 9.0)}


def table() -> xr.Dataset:
    """Two variables of different units, hourly, with gaps."""
    waves = _day(np.arange(ROWS)), _day(np.arange(ROWS) + 6)
    return _observed(
        {
            "t": ("time", 15 + 8 * waves[0], {"units": "degC"}),
            "p": ("time", 101_300 + 500 * waves[1], {"units": "Pa"}),
        },
        pd.date_range("2021-03-01", periods=ROWS, freq="h"),
    )


def maps() -> xr.Dataset:
    """A temperature on latitudes that ascend and longitudes, daily, with clouds."""
    lat, lon = np.linspace(40, 45, 6), np.linspace(5, 8, 7)
    wave = _day(np.arange(ROWS)[:, None, None] + 2 * lat[:, None] + 3 * lon)
    data = _observed(
        {"sst": (("time", "lat", "lon"), 12 + 6 * wave, {"units": "degC"})},
        pd.date_range("2021-03-01", periods=ROWS, freq="D"),
    )
    return data.assign_coords(
        lat=("lat", lat, {"units": "degrees_north"}), lon=("lon", lon, {"units": "degrees_east"})
    )


def _day(hours):
    return np.sin(2 * np.pi * hours / 24)


def _observed(variables, times):
    """Three of ten values are not, nor are the blank rows."""
    rng = np.random.default_rng(0)
    data = xr.Dataset(variables, {"time": times})
    for name, variable in data.items():
        data[name] = variable.where(rng.random(variable.shape) < 0.7)
        data[name][BLANK] = np.nan
    return data


def _measured(data):
    """Names of the variables that have been there from the beginning, under any change."""
    return [name for name in data if name in RANGES]


def _in_calendar(data):
    times = pd.DatetimeIndex(data["time"].values)
    dates = [cftime.DatetimeNoLeap(*each.timetuple()[:6]) for each in times]
    return data.assign_coords(time=dates)


def _in_hours(data):
    hours = (data["time"].values - np.datetime64("2021-01-01")) / np.timedelta64(1, "h")
    return data.assign_coords(time=("time", hours, {"units": "hours since 2021-01-01"}))


def _packed(data):
    for name in _measured(data):
        offset, most = RANGES[name]
        data[name].encoding = {
            "dtype": "int16",
            "scale_factor": most / 2**15,
            "add_offset": offset,
            "_FillValue": np.int16(-32768),
        }
    return data


def _with_fill_value(data):
    for name in _measured(data):
        data[name].encoding = {"_FillValue": -9999.0}
    return data


def _with_level(data):
    if "depth" in data.dims:
        return data
    return data.assign(
        {name: data[name].expand_dims(depth=[0.0], axis=1) for name in _measured(data)}
    )


def _shuffled(data):
    return data.isel(time=np.random.default_rng(1).permutation(data.sizes["time"]))


def _irregular(data):
    return data.assign_coords(
        time=data["time"] + (np.arange(data.sizes["time"]) ** 2 * 20).astype("m8[s]")
    )


Changes = dict[str, Callable[[xr.Dataset], xr.Dataset]]

SAME: Changes = {
    "blank rows left out": lambda data: data.drop_isel(time=range(BLANK.start, BLANK.stop)),
    "another calendar": _in_calendar,
    "hours since": _in_hours,
    "packed": _packed,
    "a fill value": _with_fill_value,
    "single precision": lambda data: data.astype("float32", keep_attrs=True),
    "a level": _with_level,
    "a level first": lambda data: _with_level(data).transpose("depth", ...),
    "dimensions turned": lambda data: data.transpose(*reversed([*data.dims])),
    "another variable": lambda data: data.assign(station=((), 7.0)),
}
"""Changes after which the same values come out."""

SAME_OF = {
    "table": {"other order": lambda data: data[["p", "t"]]},
    "maps": {
        "latitudes descend": lambda data: data.isel(lat=slice(None, None, -1)),
        "longitudes descend": lambda data: data.isel(lon=slice(None, None, -1)),
    },
}
"""The same, of each kind of data."""

# Of these a file has one at most: each says anew what its times are.
APART = {"another calendar", "hours since"}

REFUSED: Changes = {
    "rows twice": lambda data: data.isel(time=np.repeat(np.arange(data.sizes["time"]), 2)),
    "a row twice": lambda data: data.isel(time=np.sort([*range(data.sizes["time"]), 7])),
    "backwards": lambda data: data.isel(time=slice(None, None, -1)),
    "shuffled": _shuffled,
    "every second row": lambda data: data.isel(time=slice(None, None, 2)),
    "three variables": lambda data: data.assign(q=data[_measured(data)[0]]),
}
"""Changes after which there is no right answer."""

REFUSED_OF = {
    "table": {
        "irregular": _irregular,
        "another unit": lambda data: data.assign(p=(data["p"] / 100).assign_attrs(units="hPa")),
        "another name": lambda data: data.rename(p="q"),
        "one variable": lambda data: data[["t"]],
    },
    "maps": {
        "another unit": lambda data: data.assign(
            sst=(data["sst"] + 273.15).assign_attrs(units="K")
        ),
        "another name": lambda data: data.rename(sst="q"),
        "a coarser grid": lambda data: data.isel(lat=slice(None, None, 2)),
        "a latitude left out": lambda data: data.drop_isel(lat=3),
        "one place": lambda data: data.isel(lat=2, lon=3),
    },
}
"""The same, of each kind of data."""

KINDS = {"table": table, "maps": maps}
FORMATS = {
    "nc": lambda data, path: data.to_netcdf(path, engine="h5netcdf"),
    "nc3": lambda data, path: data.to_netcdf(path, engine="scipy"),
    "zarr": lambda data, path: data.to_zarr(path, zarr_format=2, consolidated=True),
}


def same_of(kind: str) -> Changes:
    """Changes of a kind of data after which the same values come out.

    Args:
        kind: of `KINDS`.
    """
    return SAME | SAME_OF[kind]


def refused_of(kind: str) -> Changes:
    """Changes of a kind of data after which there is no right answer.

    Args:
        kind: of `KINDS`.
    """
    return REFUSED | REFUSED_OF[kind]


def changed(kind: str, names: list[str]) -> xr.Dataset:
    """Data after some changes of either sort, in their order.

    Args:
        kind: of `KINDS`.
        names: of changes.
    """
    data = KINDS[kind]()
    for name in names:
        data = (same_of(kind) | refused_of(kind))[name](data.copy(deep=True))
    return data


def model_of(kind: str):
    """A model that was adapted to the data of a kind.

    Args:
        kind: of `KINDS`.
    """
    import keras

    from tf4dvar.layers import FixedStepCell, GradientSolver
    from tf4dvar.models import FourDVarNet

    layer = keras.layers.Conv1D if kind == "table" else keras.layers.Conv3D
    data = KINDS[kind]()
    prior = layer(len(data.data_vars), 5, padding="same", activation="tanh")
    model = FourDVarNet(prior, GradientSolver(FixedStepCell(0.3), iterations=3))
    model.adapt(data, window=24)
    return model


def departure(found: xr.Dataset, expected: xr.Dataset) -> float:
    """How far the states of a changed file are from those of the data, in deviations.

    Args:
        found: what came out, whose rows are some of the data's.
        expected: of the data.
    """
    rows = np.arange(ROWS)
    if found.sizes["time"] < ROWS:
        rows = np.delete(rows, np.arange(BLANK.start, BLANK.stop))
    space = [dim for dim in ("lat", "lon") if dim in expected.dims]
    found = found.sortby(space)
    most = 0.0
    for name, of in expected.items():
        states = found[name].transpose("time", *space, ...).values.reshape(len(rows), *of.shape[1:])
        most = max(most, float(np.abs(states - of.values[rows]).max() / of.values.std()))
    return most
