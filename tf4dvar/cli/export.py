"""`tf4dvar export`: a trained model for those who have not this package."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tf4dvar.cli.common import JsonOption, ModelArgument, report
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow


def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Directory of the versions.")],
    form: Annotated[
        Literal["savedmodel", "onnx"], typer.Option("--format", help="What to write.")
    ] = "savedmodel",
    unroll: Annotated[
        bool, typer.Option("--unroll", help="Iterations written out and compiled by XLA: for GPUs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Export a model as the next version of a directory, for TensorFlow Serving say.

    Example: `tf4dvar export runs/x --out served/l63`
    """
    if unroll and form == "onnx":
        raise InputError("Received --unroll for ONNX; expected it for a SavedModel alone.")
    load_tensorflow()
    from tf4dvar.export.saved_model import description_of, save
    from tf4dvar.models import load_model

    trained, description = load_model(model), description_of(model)
    if form == "onnx":
        from tf4dvar.export.onnx import save_onnx

        version = save_onnx(trained, out, description)
    else:
        version = save(trained, out, unroll, description)
    report({"out": str(version), "iterations": trained.iterations}, as_json)
