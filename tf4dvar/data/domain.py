"""Where in space there is a state at all, and where there is land."""

from collections.abc import Sequence

import xarray as xr

from tf4dvar.errors import InputError


def domain_of(dataset: xr.Dataset, time: str, space: Sequence[str]) -> xr.DataArray | None:
    """Where in space there is a state at all, as the sea has; None where that is everywhere.

    It is every boolean coordinate in space, not in time, true within, as `open_data` makes of a
    mask.

    Args:
        dataset: the data set.
        time: its dimension of time.
        space: its dimensions of space.
    """
    domain = None
    for coordinate in dataset.coords.values():
        in_space = time not in coordinate.dims and {*coordinate.dims} & {*space}
        if coordinate.dtype == bool and in_space:
            coordinate = coordinate.reset_coords(drop=True).compute()
            domain = coordinate if domain is None else domain & coordinate
    return domain


def land_of(dataset: xr.Dataset, time: str, space: Sequence[str]) -> xr.DataArray | None:
    """Where there is none, true on land, [*space]; None where that is nowhere.

    Where the domain depends on more than space, land is what is outside it throughout.

    Args:
        dataset: a series or windows.
        time, space: see `domain_of`.

    Raises:
        InputError: all is land.

    Usage:

        from tf4dvar.data.domain import land_of

        sea = ("x", [True, False])
        maps = xr.Dataset({"sst": (("time", "x"), np.zeros((3, 2)))}, coords={"sea": sea})
        assert land_of(maps, "time", ["x"]).values.tolist() == [False, True]
    """
    domain = domain_of(dataset, time, space)
    if domain is None:
        return None
    sea = domain.any([dim for dim in domain.dims if dim not in space])
    land = ~sea.expand_dims({dim: dataset.sizes[dim] for dim in space if dim not in sea.dims})
    if land.all():
        raise InputError("The mask holds nowhere: all is land. Look at what it has to be.")
    # Without coordinates: where it is used it is of the same grid.
    return xr.DataArray(land.transpose(*space).variable) if land.any() else None


def at_sea(dataset: xr.Dataset, land: xr.DataArray | None) -> xr.Dataset:
    """A data set whose variables in space are NaN on land.

    Args:
        dataset: a series or windows.
        land: of `land_of`.
    """
    if land is None:
        return dataset
    in_space = {name: of for name, of in dataset.data_vars.items() if {*land.dims} <= {*of.dims}}
    return dataset.assign({name: of.where(~land) for name, of in in_space.items()})
