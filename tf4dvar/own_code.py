"""The user's own modules, which a command is told to import: layers, systems."""

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from tf4dvar.errors import InputError, first_line
from tf4dvar.runtime import load_tensorflow

IMPORTED: list[tuple[str, str]] = []
"""What `import_own` was given so far, and in which folder: workers import the same."""


def import_own(module: str, folder: str | None = None) -> ModuleType:
    """Import a module of the user's.

    Args:
        module: its name, or the path of its file, `my_layers.py`; never one that a file chose.
        folder: where it is looked for first; the current one by default.

    Raises:
        InputError: there is none, or what it runs fails.
    """
    base = Path.cwd() if folder is None else Path(folder)
    file = (base / module).resolve() if module.endswith(".py") else None
    if file is not None and not file.is_file():
        raise InputError(f"There is no file {file}.")
    name, place = (module, base) if file is None else (file.stem, file.parent)
    # Registering layers takes Keras, which would bring TensorFlow with its start-up messages.
    load_tensorflow()
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))
    try:
        found = importlib.import_module(name)
    except Exception as error:  # the user's code may raise any
        raise InputError(_complaint(name, place, error)) from error
    if file is not None and Path(found.__file__ or "").resolve() != file:
        raise InputError(
            f"A module {name} is there already, {found.__file__}; give {file} another name."
        )
    if (module, str(base)) not in IMPORTED:
        IMPORTED.append((module, str(base)))
    return found


def _complaint(name: str, place: Path, error: Exception) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and f"{name}.".startswith(f"{missing}."):
        return (
            f"There is no module {missing} in {place}, nor one that is installed; expected a name "
            "as in `import my_layers`, or a path such as ./my_layers.py."
        )
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, SyntaxError) else f" ({last.filename}, line {last.lineno})"
    return f"Importing {name} raises {type(error).__name__}: {first_line(error)}{where}."
