"""`tf4dvar serve`: an exported model over HTTP."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tf4dvar.errors import InputError


def serve(
    directory: Annotated[Path, typer.Argument(help="Directory that `tf4dvar export` wrote.")],
    host: Annotated[
        str, typer.Option(help="127.0.0.1: this machine alone. 0.0.0.0 or ::, every network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1024, max=65535)] = 8501,
    name: Annotated[str, typer.Option(help="Of the model, in the URLs.")] = "tf4dvar",
    replicas: Annotated[int, typer.Option(min=1, help="Processes that hold the model.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Windows computed together, at most.")] = 32,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE, may be given several times: body (bytes), windows, steps, "
            "iterations, values, seconds, requests; see docs/serving.md."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Serve what tf4dvar did not export. Is it trusted?")
    ] = False,
) -> None:
    """Serve an exported model, in the form of TensorFlow Serving's REST API.

    Example: `tf4dvar serve served/l63 --port 8501`
    """
    try:
        from tf4dvar.serving.server import serve as run_server
    except ImportError as error:
        raise InputError(
            f"The server needs {error.name}, which is not installed: "
            "pip install '.[serve]' in a checkout of tf4dvar."
        ) from error
    if host not in ("127.0.0.1", "0.0.0.0", "::"):
        raise InputError(f"Received the host {host!r}; expected 127.0.0.1, 0.0.0.0 or ::.")
    run_server(directory, host, port, name, replicas, batch, _limits(limit or ()), force)


def _limits(settings):
    from tf4dvar.serving.protocol import Limits

    limits = asdict(Limits())
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            limits[name] = type(limits[name])(value)
            possible = limits[name] > 0
        except (KeyError, ValueError):
            possible = False
        if not possible:
            raise InputError(
                f"Received --limit {setting!r}; expected NAME=VALUE with a positive number and one "
                f"of the names {', '.join(limits)}."
            )
    return Limits(**limits)
