"""Learned variational data assimilation in TensorFlow/Keras.

Given noisy, partial observations of a dynamical system over a time window, reconstruct the
whole state with a variational cost and a gradient-based solver that are both learned
(Fablet et al. 2021, doi:10.1029/2021MS002572).

`tf4dvar.FourDVarNet` is the model, `tf4dvar.load_model("l63")` a trained one, and
`tf4dvar.open_data("sst.nc")` one's own observations. All else is in the folders, each of which
imports only those before it, and TensorFlow only where it is needed: `storage`, `systems`, `data`,
`layers`, `models`, `experiments`, `classical`, `evaluation`, `training`, `paper`, `export`,
`scale` and `serving`, `cli`.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """What is imported when it is asked for: TensorFlow for the model, xarray for data."""
    if name == "FourDVarNet":
        from tf4dvar.models import FourDVarNet

        return FourDVarNet
    if name == "load_model":
        from tf4dvar.models import load_model

        return load_model
    if name == "open_data":
        from tf4dvar.data import open_data

        return open_data
    raise AttributeError(f"module 'tf4dvar' has no attribute {name!r}")
