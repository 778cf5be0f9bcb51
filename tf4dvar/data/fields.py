"""Simulated fields and their observations, as data sets by the CF conventions."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import xarray as xr

from tf4dvar.data.stacked import PERIOD
from tf4dvar.systems import QuasiGeostrophic, StirredTemperature, random_stream
from tf4dvar.systems.instruments import Instrument, observed_by

# Days in which turbulence grows from weak eddies, and forgets them.
SPIN_UP = 600
FIRST_DAY = np.datetime64("2000-01-01", "ns")
DIMS = ("member", "time", "y", "x")
FIELDS = {"qg": QuasiGeostrophic, "qg-tracer": StirredTemperature}
"""Systems of fields by their short names."""
_ATTRIBUTES = {
    QuasiGeostrophic: {
        "long_name": "height of the surface",
        "standard_name": "sea_surface_height_above_geoid",
        "units": "m",
    },
    StirredTemperature: {
        "long_name": "temperature of the surface",
        "standard_name": "sea_surface_temperature",
        "units": "degC",
    },
}


def simulate_fields(
    system: QuasiGeostrophic,
    instruments: Sequence[Instrument],
    days: int,
    members: int = 1,
    seed: int = 0,
    spin_up: int = SPIN_UP,
) -> xr.Dataset:
    """Simulated maps, one a day, and what instruments see of them.

    Args:
        system: of fields.
        instruments: a plan of `tf4dvar.systems.instruments.PLANS`, or any others together:
            `(*NADIRS, Clouds(noise=0.05))`.
        days: number of maps of each member.
        members: number of realisations.
        seed: the same seed gives the same data set; two plans see the same truth under one seed.
        spin_up: days before the first map.

    Returns:
        `truth`, `observations` (NaN = not observed) and the `noise_variance` of their errors,
        [member, time, y, x], single precision.

    Usage:

        from tf4dvar.data.fields import simulate_fields
        from tf4dvar.systems import QuasiGeostrophic
        from tf4dvar.systems.instruments import PLANS

        system = QuasiGeostrophic(points=16)
        data = simulate_fields(system, PLANS["nadirs"], days=3, spin_up=2)
        assert data["truth"].sizes == {"member": 1, "time": 3, "y": 16, "x": 16}
    """
    state = system.initial(members, random_stream("fields truth", seed))
    maps = map(system.observed, islice(system.days(state), spin_up, spin_up + days))
    truth = np.stack(list(maps), axis=1)
    rng = random_stream("fields observations", seed)
    observations, variance = observed_by(instruments, truth, system.length, rng)
    told = _ATTRIBUTES[type(system)]
    name, units = told["long_name"], told["units"]
    errors = {"long_name": "variance of the observations' errors", "units": f"{units}2"}
    variables = {
        "truth": (truth, {**told, "long_name": f"true {name}"}),
        "observations": (observations, {**told, "long_name": f"observed {name}"}),
        "noise_variance": (variance, errors),
    }
    return xr.Dataset(
        {key: (DIMS, values.astype("float32"), of) for key, (values, of) in variables.items()},
        {"member": np.arange(members), **_coordinates(system, days)},
        {"Conventions": "CF-1.11", "system": repr(system), "seed": seed},
    )


def labelled_windows(system: QuasiGeostrophic, observations: np.ndarray) -> xr.DataArray:
    """Windows of observations with the labels of simulated fields.

    Args:
        system: that is observed.
        observations: [window, time, y, x, 1].
    """
    units = _ATTRIBUTES[type(system)]["units"]
    return xr.DataArray(
        observations,
        dims=("window", *DIMS[1:], "component"),
        coords={
            **_coordinates(system, observations.shape[1]),
            "component": ["observations"],
            "units": ("component", [units]),
        },
    )


def _coordinates(system, days):
    """Of the days from the first on, and of the box."""
    side = system.length / 1e3 / system.points * (np.arange(system.points) + 0.5)
    repeats = {"units": "km", PERIOD: system.length / 1e3}
    dates = FIRST_DAY + np.arange(days).astype("m8[D]").astype("m8[ns]")
    axes = {
        axis: (axis, side, {"standard_name": f"projection_{axis}_coordinate", **repeats})
        for axis in ("y", "x")
    }
    return {"time": ("time", dates, {"standard_name": "time"}), **axes}
