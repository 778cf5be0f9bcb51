"""Every public name is in the API reference, and its docstring names its arguments."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import tf4dvar

PAGES = Path(__file__).parents[2] / "docs" / "reference"
PACKAGE = Path(tf4dvar.__file__).parent
ENTRIES = re.findall(
    r"^::: (\S+)", "".join(page.read_text() for page in PAGES.glob("*.md")), re.MULTILINE
)
# `see` leads to a base class with the same arguments.
SECTIONS = re.compile(r"^ *(?:Args|Attributes|Call arguments):\n((?:(?: +.*)?\n)*)", re.MULTILINE)


def public_modules():
    """What a user imports from: the packages, and the modules beside them but the commands."""
    packages = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    modules = [path.stem for path in PACKAGE.glob("*.py")]
    commands = {name for name in modules if name.startswith(("cli", "_"))}
    return sorted(f"tf4dvar.{name}" for name in {*packages, *modules} - commands)


def public_names(module):
    """The names that a module gives to others."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    ]
    return {name: getattr(module, name) for name in names}


MODULES = [import_module(name) for name in {*public_modules(), *ENTRIES} if _is_module(name)]
