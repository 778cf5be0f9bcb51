"""Every public name is in the API reference, and its docstring tells its arguments."""

import inspect
import re
from importlib import import_module
from pathlib import Path
from types import GenericAlias

import pytest

import tf4dvar

PACKAGE = Path(tf4dvar.__file__).parent
PAGES = PACKAGE.parent / "docs" / "reference"
ENTRIES = set(
    re.findall(
        r"^::: (\S+)", "".join(page.read_text() for page in PAGES.glob("*.md")), re.MULTILINE
    )
)
ARGUMENTS = re.compile(r"^(?:Args|Attributes):\n((?:(?: +.*)?\n)+)", re.MULTILINE)
ENTRY = re.compile(r"^    ([*\w]+(?:, [*\w]+)*):", re.MULTILINE)
# "As `strong`, ...": the other docstring tells them.
REFERENCE = re.compile(r"\b[Aa]s (?:for )?`\w+`")


# Handlers whose arguments tf2onnx prescribes.
INTERNAL = {"tf4dvar.export.onnx_operations"}


def importable_modules():
    """Folders that list their names, and the modules of the others; no commands."""
    names = {path.stem for path in PACKAGE.glob("*.py")}
    for folder in PACKAGE.glob("*/__init__.py"):
        if "__all__" in folder.read_text():
            names.add(folder.parent.name)
        else:
            names |= {f"{folder.parent.name}.{path.stem}" for path in folder.parent.glob("*.py")}
    names = {name for name in names if not name.startswith("cli.") and "__" not in name}
    return {f"tf4dvar.{name}" for name in names} - INTERNAL


def public_names(module):
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    ]
    return {name: getattr(module, name) for name in names}


def is_module(path):
    parts = path.split(".")
    file = PACKAGE.parent.joinpath(*parts)
    return file.is_dir() or file.with_suffix(".py").is_file()


@pytest.mark.parametrize("name", sorted(importable_modules()))
def test_the_reference_has_every_public_name(name):
    assert name in ENTRIES
    # Where a module has the name of the function in it, the package's entry shows neither.
    hidden = {n for n in public_names(import_module(name)) if is_module(f"{name}.{n}")}
    assert {f"{name}.{n}.{n}" for n in hidden} <= ENTRIES


@pytest.mark.parametrize("name", sorted(importable_modules() | set(filter(is_module, ENTRIES))))
def test_docstrings_tell_the_arguments(name):
    for label, value in public_names(import_module(name)).items():
        if not callable(value) or isinstance(value, GenericAlias):
            continue
        text = (inspect.getdoc(value) or "") + "\n"
        assert text.strip(), label
        expected = arguments(value)
        if REFERENCE.search(text):
            continue
        told = {
            argument.strip("* ")
            for section in ARGUMENTS.findall(text)
            for entry in ENTRY.findall(section)
            for argument in entry.split(",")
        } | settings(value)
        assert told == expected, label


def settings(value):
    """The fields that carry their help themselves."""
    found = getattr(value, "__dataclass_fields__", {})
    return {name for name, field in found.items() if field.metadata.get("help")}


def arguments(value):
    """What a function or a class takes; a class without a constructor of its own tells nothing."""
    if inspect.isclass(value):
        fields = getattr(value, "__dataclass_fields__", None) or getattr(value, "_fields", None)
        if "__init__" not in vars(value) and not fields:
            return set()
    names = inspect.signature(value).parameters
    return {name for name in names if name not in ("args", "kwargs")}
