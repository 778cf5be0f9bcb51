"""`tf4dvar export`: a trained model for those who have not this package."""

from pathlib import Path
from typing import Annotated

import typer

from tf4dvar.cli.common import JsonOption, ModelArgument, report
from tf4dvar.export import FORMATS, format_by_name, save
from tf4dvar.runtime import load_tensorflow


def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Directory of the versions.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", help=" ".join(f"{name}: {each.summary()}" for name, each in FORMATS.items())
        ),
    ] = "savedmodel",
    unroll: Annotated[
        bool, typer.Option("--unroll", help="Iterations written out and compiled by XLA: for GPUs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Export a model as the next version of a directory, for TensorFlow Serving and others.

    Example: `tf4dvar export runs/x --out served/l63`
    """
    settings = {"unroll": True} if unroll else {}
    format_by_name(form, **settings)  # before TensorFlow is loaded
    load_tensorflow()
    from tf4dvar.export.card import description_of
    from tf4dvar.models import load_model

    trained = load_model(model)
    version = save(trained, out, form, description_of(model), **settings)
    report({"out": str(version), "iterations": trained.iterations}, as_json)
