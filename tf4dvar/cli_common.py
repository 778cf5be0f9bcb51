"""What the commands share: options, one-line errors, reports."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tf4dvar.errors import InputError

ModelArgument = Annotated[Path, typer.Argument(help="A run directory, or a .keras file.")]
DataOption = Annotated[Path, typer.Option("--data", help="NetCDF file of windows.")]
OutOption = Annotated[Path, typer.Option("--out", help="File to write.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite an existing output.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Group(TyperGroup):
    """Turns a user's mistake into one line and exit code 2."""

    def invoke(self, ctx):
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (InputError, OSError) as error:
            typer.echo(f"Error: {error}", err=True)
            raise SystemExit(2) from error


def load_tensorflow() -> None:
    """Import TensorFlow in silence: its start-up messages would bury one clear line.

    It writes them from C++ before its own log level counts, hence the file descriptor. Half of
    the cores work within operations and all of them on several operations at once: of the
    solver's small ones that is faster than all within one; see docs/performance.md.

    On a CPU the same seed gives the same numbers bit for bit, which costs nothing there. On a GPU
    not every operation has a deterministic kernel: TF_DETERMINISTIC_OPS=1 asks for them.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
    stderr = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            tf.config.experimental.enable_op_determinism()
        tf.constant(0.0)  # looks for GPUs, and says so
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def report(values: dict[str, Any], as_json: bool) -> None:
    """Print values by name, as JSON or for people, who are spared the lists."""
    if as_json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        if isinstance(value, dict):
            typer.echo(f"{name:22} " + ", ".join(f"{key} {_shown(value[key])}" for key in value))
        elif not isinstance(value, list):
            typer.echo(f"{name:22} {_shown(value)}")


def _shown(value):
    return f"{value:.4g}" if isinstance(value, float) else value
