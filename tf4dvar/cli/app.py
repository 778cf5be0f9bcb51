"""The command line: `tf4dvar --help`."""

import ast
import logging
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module  # noqa: TID251 - of the table here alone
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from tf4dvar.cli.common import SETTINGS, Group, import_option

# Where each command is, module:name. One is imported when it is asked for, and what needs
# TensorFlow by the commands that use it: `--help` and `models` should not wait for that.
COMMANDS = {
    "simulate": "simulate:simulate",
    "train": "train:train",
    "reconstruct": "reconstruct:reconstruct",
    "evaluate": "evaluate:evaluate",
    "assimilate": "assimilate:assimilate",
    "cycle": "cycle:cycles",
    "forecast": "forecast:forecast",
    "fill": "fill:fill",
    "compare": "compare:compare",
    "limit": "compare:limit",
    "benchmark": "benchmark:benchmark",
    "plot": "plot:plot",
    "models": "models:models",
    "publish": "models:publish",
    "convert": "models:convert",
    "export": "export:export",
    "serve": "serve:serve",
    "experiments": "paper:experiments",
    "tables": "paper:tables",
    "figures": "paper:figures",
    "demo": "paper:demo",
}


class Commands(Mapping[str, Any]):
    """The commands by name, each imported when it is asked for."""

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __getitem__(self, name: str) -> Any:
        return _command_of(name)


@cache
def _command_of(name):
    module, _, attribute = COMMANDS[name].partition(":")
    found = getattr(import_module(f"tf4dvar.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_command(found)
        group.name = name
        return group
    alone = typer.Typer(**SETTINGS)
    alone.command(name)(found)
    command = typer.main.get_command(alone)
    command.params.append(import_option())
    return command


class Root(Group):
    """All commands."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.commands: Any = Commands()

    def format_help(self, ctx, formatter):
        """With what each command is, as its source says, without importing it."""
        self.commands = {name: TyperCommand(name, help=_help_of(name)) for name in COMMANDS}
        try:
            super().format_help(ctx, formatter)
        finally:
            self.commands = Commands()


def _help_of(name):
    """The docstring of a command, or the help of a group of them."""
    module, _, attribute = COMMANDS[name].partition(":")
    for node in _tree_of(module).body:
        if isinstance(node, ast.FunctionDef) and node.name == attribute:
            return ast.get_docstring(node)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == attribute:
            given = node.value.keywords if isinstance(node.value, ast.Call) else ()
            return next(ast.literal_eval(each.value) for each in given if each.arg == "help")
    raise AssertionError(f"{module} has no {attribute}.")


@cache
def _tree_of(module):
    return ast.parse(Path(__file__).with_name(f"{module}.py").read_text("utf-8"))


app = typer.Typer(
    cls=Root,
    help="Learned variational data assimilation: simulate, train, reconstruct, compare.",
    no_args_is_help=True,
    **SETTINGS,
)


# A group has a callback where Typer knows of none of its commands.
@app.callback()
def _all() -> None: ...


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    app()
