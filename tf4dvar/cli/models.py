"""The commands of models as files: publish, list, convert."""

from pathlib import Path
from typing import Annotated

import typer

from tf4dvar.cli.common import ForceOption, JsonOption, report
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow
from tf4dvar.storage import atomic_path, check_output
from tf4dvar.storage.published import published_models


def publish(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the published model.")],
    windows: Annotated[
        int | None, typer.Option(help="Test windows, 2 at least; by default the system's number.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a trained model on held-out windows and write it, described, for others to use.

    Example: `tf4dvar publish runs/l63-c --out saved_models/l63-c`
    """
    load_tensorflow()
    from tf4dvar.export.published import publish as publish_model

    scores = publish_model(run, out, windows)["scores"]
    shown = ("mu", "lambda_x", "maps") if "mu" in scores else ("r_score", "windows")
    report({"out": str(out), **{name: scores[name] for name in shown}}, as_json)


def convert(
    file: Annotated[Path, typer.Argument(help="Named arrays, .npz.")],
    out: Annotated[Path, typer.Option("--out", help="The model, .keras.")],
    components: Annotated[int, typer.Option(min=4, help="Of the state.")] = 40,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a model of weights in the form of the paper's for Lorenz-96, told in the documentation.

    Example: `tf4dvar convert published.npz --out published.keras`
    """
    if out.suffix != ".keras":
        raise InputError(f"Received --out {out}; expected a file that ends on .keras.")
    check_output(out, force)
    load_tensorflow()
    from tf4dvar.models.plain_arrays import model_from_arrays

    model = model_from_arrays(file, components)
    with atomic_path(out) as path:
        model.save(path)
    report({"out": str(out), "parameters": model.count_params()}, as_json)


def models(
    folder: Annotated[
        Path | None, typer.Argument(help="Where they are; by default those of the package.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the published models with their scores.

    Example: `tf4dvar models --json`
    """
    cards = published_models() if folder is None else published_models(folder)
    report(cards if as_json else {card["name"]: _line(card) for card in cards}, as_json)


def _line(card) -> str:
    scores = card["scores"]
    if "mu" in scores:
        return f"mu {scores['mu']:.3f}   {card['summary']}"
    error = "" if scores["r_score_se"] is None else f" +- {scores['r_score_se']:.3f}"
    return f"R-score {scores['r_score']:.3f}{error}   {card['summary']}"
