"""The commands of the published models: publish, list."""

from pathlib import Path
from typing import Annotated

import typer

from tf4dvar.cli.common import JsonOption, report
from tf4dvar.runtime import load_tensorflow


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


def models(
    folder: Annotated[
        Path | None, typer.Argument(help="Where they are; by default those of the package.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the published models with their scores.

    Example: `tf4dvar models --json`
    """
    load_tensorflow()
    from tf4dvar.export.published import published_models
    from tf4dvar.models import SHIPPED

    cards = published_models(SHIPPED if folder is None else folder)
    report(cards if as_json else {card["name"]: _line(card) for card in cards}, as_json)


def _line(card) -> str:
    scores = card["scores"]
    if "mu" in scores:
        return f"mu {scores['mu']:.3f}   {card['summary']}"
    error = "" if scores["r_score_se"] is None else f" +- {scores['r_score_se']:.3f}"
    return f"R-score {scores['r_score']:.3f}{error}   {card['summary']}"
