"""What the commands share: options, one-line errors, reports."""

import re
from collections.abc import Callable, Iterable
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tf4dvar.errors import InputError, shown
from tf4dvar.own_code import import_own
from tf4dvar.storage.records import json_text
from tf4dvar.systems import SYSTEMS, System, system_by_name

ModelArgument = Annotated[
    Path, typer.Argument(help="A run directory, a .keras file, or a published model's name.")
]
OutOption = Annotated[Path, typer.Option("--out", help="File to write.")]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        help="; ".join(f"{name}: {' or '.join(each.protocols)}" for name, each in SYSTEMS.items())
        + ". The first by default."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite an existing output.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes on Ray to compute in, one processor each.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="Ray cluster of the workers, as ray://host:10001; else this machine."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SystemOption = Annotated[
    str | None,
    typer.Option(
        "--system",
        help=f"{', '.join(SYSTEMS)}, or one of your own as MODULE:NAME, my_system.py:NAME. By "
        "default what the attribute `system` of the data says.",
    ),
]
NoiseVarianceOption = Annotated[
    float | None,
    typer.Option(min=0.0, help="Of the observations' errors, in place of what the data says."),
]


# Of every group of commands.
SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "markdown",
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class Group(TyperGroup):
    """Turns a user's mistake into one line and exit code 2; its commands take `--import`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for command in self.commands.values():
            if not isinstance(command, TyperGroup):
                command.params.append(import_option())

    def invoke(self, ctx):
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (InputError, OSError) as error:
            message = self._on_the_line(str(error), ctx.invoked_subcommand)
            typer.echo(f"Error: {message}", err=True)
            raise SystemExit(2) from error

    def _on_the_line(self, message, command):
        """The library names arguments, a command its options: `force=True` is `--force` there."""
        for option in self.commands[command].params:
            flag = option.opts[0]
            if flag.startswith("--"):
                argument = rf"(?<![\w./'\"-]){option.name}="
                message = re.sub(rf"{argument}True\b", flag, message)
                message = re.sub(rf"{argument}(?!False)", f"{flag} ", message)
        return message


def import_option():
    """An option of any command, whose function need not know of it."""
    holder = typer.Typer(add_completion=False)

    @holder.command()
    def command(
        modules: Annotated[
            list[str] | None,
            typer.Option(
                "--import",
                help="Module of your own layers or systems, by name or my_layers.py; may be given "
                "several times.",
                callback=lambda modules: [import_own(module) for module in modules or ()],
                expose_value=False,
                is_eager=True,
            ),
        ] = None,
    ) -> None: ...

    return typer.main.get_command(holder).params[0]


def system_of(text: str) -> System:
    """The system that is named on the command line.

    Args:
        text: a short name, or MODULE:NAME for a `System` in a module of the user's.

    Raises:
        InputError: there is none.
    """
    module, _, name = text.rpartition(":")
    if text in SYSTEMS:
        return system_by_name(text)
    if not (module and name):
        raise InputError(
            f"Received the system {shown(text)}; known systems: {', '.join(SYSTEMS)}. One of your "
            "own is MODULE:NAME, for example my_system.py:lorenz."
        )
    found: Any = getattr(import_own(module), name, None)
    if isinstance(found, type) and found in SYSTEMS.values():
        found = found()
    if not isinstance(found, System):
        there = vars(import_own(module)).items()
        others = ", ".join(key for key, value in there if isinstance(value, System))
        raise InputError(f"{module} has no System {name}; it has {others or 'none'}.")
    return found


def with_options(
    command: Callable[..., None], options: dict[str, tuple[Any, Any]]
) -> Callable[..., None]:
    """A command whose options follow from data.

    Args:
        command: takes them as keywords.
        options: annotation and default of each by its name.
    """
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {name: annotation for name, (annotation, _) in options.items()}
    return command


def refuse_given(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options of a command that would not be used.

    Args:
        context: of the running command.
        names: of its parameters.
        why: what the message says after those that were given.

    Raises:
        InputError: some of them stand on the command line.
    """
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name in {*names} and is_given(context, option.name)
    ]
    if given:
        raise InputError(f"Received {', '.join(given)}; {why}")


def is_given(context: typer.Context, name: str) -> bool:
    """Whether a parameter of the running command stands on the command line.

    Args:
        context: of the command.
        name: of the parameter.
    """
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def check_workers(workers: int | None, address: str | None) -> None:
    """Refuse a cluster without workers on it."""
    if address is not None and workers is None:
        raise InputError(f"Received --address {address} without --workers; say how many.")


def listed(names: str) -> list[str]:
    """What is given with commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def report(values: dict[str, Any] | list[Any], as_json: bool) -> None:
    """Print values, as JSON or, by name, for people, who are spared the lists."""
    if as_json or isinstance(values, list):
        typer.echo(json_text(values))
        return
    for name, value in values.items():
        if isinstance(value, dict):
            told = {key: of for key, of in value.items() if not isinstance(of, list)}
            typer.echo(f"{name:22} " + ", ".join(f"{key} {_shown(told[key])}" for key in told))
        elif not isinstance(value, list):
            typer.echo(f"{name:22} {_shown(value)}")


def _shown(value):
    if value is None or value != value:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else value
