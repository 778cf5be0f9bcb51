"""The models that come with the package, `saved_models/NAME`, and what their cards say."""

from pathlib import Path
from typing import Any

import msgspec

from tf4dvar.errors import InputError
from tf4dvar.storage.records import read_record

# In the package where it is installed, beside it in a checkout.
SHIPPED = next(
    (
        folder
        for folder in (Path(__file__).parents[depth] / "saved_models" for depth in (1, 2))
        if folder.is_dir()
    ),
    Path("saved_models"),
)


class _Scores(msgspec.Struct):
    r_score: float
    r_score_se: float | None  # one test window has none


class _ScoresOfFields(msgspec.Struct):
    mu: float
    lambda_x: float | None


class _Card(msgspec.Struct, kw_only=True):
    """What the list of models shows."""

    name: str
    summary: str
    scores: dict[str, Any]


class _CardOfWindows(_Card, kw_only=True):
    scores: _Scores  # type: ignore[assignment]


class _CardOfFields(_Card, kw_only=True):
    scores: _ScoresOfFields  # type: ignore[assignment]


def published_names() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(file.parent.name for file in SHIPPED.glob("*/model.keras"))


def card_of(path: Path) -> dict[str, Any]:
    """The card of a published model.

    Args:
        path: the model's directory.

    Raises:
        InputError: there is none, or it is damaged.
    """
    file = path / "card.json"
    if not file.is_file():
        raise InputError(f"There is no published model in {path}; expected a card.json.")
    of_fields = "mu" in read_record(file, _Card)["scores"]
    return read_record(file, _CardOfFields if of_fields else _CardOfWindows)


def published_models(folder: Path = SHIPPED) -> list[dict[str, Any]]:
    """The cards of all models in a folder, in the order of their names.

    Args:
        folder: where the models are; by default those of the package.
    """
    found = [card_of(path.parent) for path in sorted(folder.glob("*/card.json"))]
    if not found:
        raise InputError(f"There is no published model in {folder}; expected NAME/card.json.")
    return found
