"""The formats that trained models are exported in."""

from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tf4dvar.errors import InputError
from tf4dvar.registry import Entry
from tf4dvar.storage.version_directory import VersionDirectory

if TYPE_CHECKING:
    from tf4dvar.models import FourDVarNet

FORMATS: dict[str, type["ExportFormat"]] = {}
"""The formats by name; one is here as soon as its class is defined."""


@dataclass(frozen=True)
class ExportFormat(Entry):
    """A format: a frozen dataclass of its settings.

    A subclass gives `name` and `write`. With that it is in `FORMATS`, so that `save` and
    `tf4dvar export` know it; the first paragraph of its docstring is its help. What needs
    TensorFlow or the packages of `needs` is imported within its functions.
    """

    registry = FORMATS
    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    """Packages, by the names that they are imported by, beside those of tf4dvar."""

    def write(self, model: "FourDVarNet", folder: Path, card: dict[str, Any]) -> None:
        """Write the files of a version.

        Args:
            model: a built model.
            folder: where to; it is there and empty.
            card: the description, to which it may add.
        """
        raise NotImplementedError


def format_by_name(name: str, **settings: Any) -> ExportFormat:
    """The format of a name.

    Args:
        name: of `FORMATS`.
        **settings: its own; what is not given is by default.

    Raises:
        InputError: there is none of the name, it has not such a setting, or needs a package that is
            not installed.
    """
    if name not in FORMATS:
        raise InputError(f"Received the format {name!r}; known formats: {', '.join(FORMATS)}.")
    kind = FORMATS[name]
    for each in settings.keys() - {field.name for field in fields(kind)}:
        raise InputError(
            f"Received {each}={settings[each]!r} for the format {name}, which has no such setting."
        )
    missing = [package for package in kind.needs if find_spec(package) is None]
    if missing:
        raise InputError(
            f"The format {name} needs {' and '.join(missing)}, which is not installed: "
            f"pip install {' '.join(missing)}."
        )
    return kind(**settings)


def save(
    model: "FourDVarNet",
    directory: str | Path,
    form: str = "savedmodel",
    description: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """Write a model as the next version of a directory, in the layout of serving programs.

    `directory/1`, the next time `directory/2`, and `directory/card.json`, which describes the
    newest.

    Args:
        model: a built model.
        directory: where to; made where it does not exist.
        form: name of one of `FORMATS`.
        description: more for the card, see `tf4dvar.export.card.description_of`.
        **settings: of the format.

    Returns:
        The version's directory.

    Raises:
        InputError: as by `format_by_name`; the model does not convert; the directory is a file, or
            holds versions of another format. Nothing is left.
    """
    from tf4dvar.export.card import model_card

    exporter = format_by_name(form, **settings)
    card = model_card(model, form, description)
    with VersionDirectory(directory).new_version(card) as (temporary, final):
        exporter.write(model, temporary, card)
    return final
