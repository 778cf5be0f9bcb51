"""Labels of several parts, as `stack(component=("lat", "lon"))` makes them, in files."""

import numpy as np
import pandas as pd
import xarray as xr


def without_multi_indexes(dataset: xr.Dataset) -> xr.Dataset:
    """A data set with labels of several parts compressed by gathering, as of CF, section 8.2.

    Each becomes a variable of numbers into the product of its parts, which are coordinates.

    Args:
        dataset: it.
    """
    for name, index in list(dataset.indexes.items()):
        if not isinstance(index, pd.MultiIndex) or name not in dataset.dims:
            continue
        index = index.remove_unused_levels()
        shape = [len(level) for level in index.levels]
        numbers = np.ravel_multi_index(index.codes, shape)
        parts = {str(part): level for part, level in zip(index.names, index.levels, strict=True)}
        attributes = {part: dataset[part].attrs for part in parts}
        dataset = dataset.drop_vars([name, *parts]).assign_coords(
            {name: (name, numbers, {"compress": " ".join(parts)})}
            | {part: (part, level.to_numpy(), attributes[part]) for part, level in parts.items()}
        )
    return dataset


def with_multi_indexes(dataset: xr.Dataset) -> xr.Dataset:
    """The inverse of `without_multi_indexes`; other data sets as they are.

    Args:
        dataset: as it was read.
    """
    for name in list(dataset.dims):
        told = dataset[name].attrs.get("compress") if name in dataset.coords else None
        parts = told.split() if isinstance(told, str) else []
        if not parts or not all(part in dataset.indexes for part in parts):
            continue
        numbers = dataset[name].values
        levels = [dataset.indexes[part] for part in parts]
        shape = [len(level) for level in levels]
        if (
            numbers.dtype.kind not in "iu"
            or not ((numbers >= 0) & (numbers < np.prod(shape))).all()
        ):
            continue
        attributes = {part: dataset[part].attrs for part in parts}
        index = pd.MultiIndex(levels, np.unravel_index(numbers, shape), names=parts)
        labels = xr.Coordinates.from_pandas_multiindex(index, name)
        dataset = dataset.drop_vars([name, *parts]).assign_coords(labels)
        for part, attrs in attributes.items():
            dataset[part].attrs = attrs
    return dataset
