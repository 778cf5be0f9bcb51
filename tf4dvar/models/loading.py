"""Trained models from files, run directories, and the published ones by name."""

from pathlib import Path

from tf4dvar.data.storage_checks import ZARR
from tf4dvar.errors import InputError, first_line
from tf4dvar.models.archive import load_archive
from tf4dvar.models.fourdvarnet import FourDVarNet
from tf4dvar.storage.published import SHIPPED, published_names


def model_path(path: str | Path) -> Path:
    """A path as it is, or that of a published model where it is not there and is one's name."""
    path = Path(path)
    return SHIPPED / path if not path.exists() and str(path) in published_names() else path


def is_model(path: str | Path) -> bool:
    """Whether a path, or a name, is of a model and not of data.

    Args:
        path: a file, a folder or a published model's name.
    """
    path = model_path(path)
    of_data = any((path / name).is_file() for name in ZARR)
    return path.suffix == ".keras" or (path.is_dir() and not of_data)


def model_file(path: str | Path) -> Path:
    """The `.keras` file at a path, in a run directory, or of a published model.

    Args:
        path: the file or the folder; or, where neither is there, a published model's name.

    Raises:
        InputError: there is none.
    """
    path = model_path(path)
    file = path / "model.keras" if path.is_dir() else path
    if not file.is_file() or file.suffix != ".keras":
        raise InputError(
            f"There is no model at {path}; expected a .keras file, a run directory in which at "
            f"least one epoch was finished, or one of {', '.join(published_names())}."
        )
    return file


def load_model(path: str | Path) -> FourDVarNet:
    """A trained model from a `.keras` file, from a run directory, or a published one by name.

    Args:
        path: see `model_file`.

    Raises:
        InputError: there is none, or it is damaged or something else, or the training in the
            directory has not finished an epoch.
    """
    file = model_file(path)
    try:
        model = load_archive(file)
    except Exception as error:  # a damaged archive fails in many ways
        raise InputError(f"{file} cannot be loaded ({first_line(error)}).") from error
    if not isinstance(model, FourDVarNet):
        raise InputError(f"{file} holds a {type(model).__name__}; expected a FourDVarNet.")
    # A training saves the model with which it begins, too. A published one has no optimiser.
    optimizer = getattr(model, "optimizer", None)
    if Path(path).is_dir() and optimizer is not None and not int(optimizer.iterations):
        raise InputError(
            f"No epoch of the training in {path} is finished: the model there is the one with "
            "which it begins. Resume it, or give the .keras file."
        )
    return model
