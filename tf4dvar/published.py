"""Trained models with what a user must know of them: `saved_models/NAME`."""

import os
import platform
from pathlib import Path
from typing import Any

from tf4dvar import export
from tf4dvar.comparison import compare_model
from tf4dvar.data import atomic_path
from tf4dvar.errors import InputError
from tf4dvar.evaluation import load_model
from tf4dvar.experiments import experiment_by_name
from tf4dvar.records import NUMBER, read_record
from tf4dvar.references import REFERENCES
from tf4dvar.systems import system_by_name
from tf4dvar.tables import TEST_SEED, held_out_windows
from tf4dvar.training import RunDirectory

# What the list of models shows; one test window has no standard error.
CARD = {
    "name": str,
    "summary": str,
    "scores": {"r_score": NUMBER, "r_score_se": (*NUMBER, type(None))},
}


def publish(run: Path, out: Path, windows: int | None = None) -> dict[str, Any]:
    """Score the model of a run directory on held-out windows, and write it for others to use.

    `out` gets `model.keras` (without the optimiser), the next version of the SavedModel, see
    `export.save`, `card.json` and `README.md`.

    Args:
        run: a run directory.
        out: folder of the published model, which takes its name.
        windows: number of test windows; by default those of the tables.

    Returns:
        The card.
    """
    directory = RunDirectory(run)
    options = directory.options()
    experiment = experiment_by_name(options["experiment"])
    protocol = options["protocol"]
    trained = load_model(run)
    scores = compare_model(trained, held_out_windows(experiment.system, protocol, windows)).scores
    system = system_by_name(experiment.system)
    model = export.twin(trained)
    export.save(
        model,
        out,
        description={
            "name": out.name,
            "summary": experiment.summary,
            "system": experiment.system,
            "protocol": protocol,
            "components": list(system.components),
            "units": system.units,
            "source": {
                "training": options,
                "fresh_windows": experiment.fresh,
                "batch_size": experiment.batch_size,
                "steps": int(trained.optimizer.iterations),
                "seconds": float(directory.history()[-1]["elapsed"]),
            },
            "scores": {
                **scores,
                "seed": TEST_SEED,
                "machine": machine(),
            },
        },
    )
    with atomic_path(out / "model.keras") as temporary:
        model.save(temporary)
    card = card_of(out)
    with atomic_path(out / "README.md") as temporary:
        temporary.write_text(_readme(card))
    return card


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
    return read_record(file, CARD)


def published_models(folder: Path) -> list[dict[str, Any]]:
    """The cards of all models in a folder, in the order of their names.

    Args:
        folder: where the models are.
    """
    found = [card_of(path.parent) for path in sorted(folder.glob("*/card.json"))]
    if not found:
        raise InputError(f"There is no published model in {folder}; expected NAME/card.json.")
    return found


def machine() -> dict[str, Any]:
    """The processor, and how many of its cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
    }


def _readme(card: dict[str, Any]) -> str:
    scores, source = card["scores"], card["source"]
    training, parts = source["training"], scores["r_score_by_part"]
    data = (
        "new simulated windows with new noise in every pass"
        if source["fresh_windows"]
        else f"{training['windows']:,} simulated windows, the same in every pass"
    )
    seen = source["steps"] * source["batch_size"]
    comparison = [
        f"| {reference.label} | {reference.r_score:g}"
        + ("" if reference.se is None else f" +- {reference.se:g}")
        + " |"
        for reference in REFERENCES.get((card["system"], card["protocol"]), ())
    ]
    error = scores["r_score_se"]
    lines = [
        f"# {card['name']}",
        "",
        f"{card['summary'][0].upper()}{card['summary'][1:]}. System {card['system']}, observation "
        f"protocol {card['protocol']}; {card['parameters']:,} trained parameters, "
        f"{card['iterations']} iterations.",
        "",
        "## Use",
        "",
        f"    tf4dvar reconstruct saved_models/{card['name']} --data windows.nc --out states.nc",
        "",
        f"or `keras.models.load_model('saved_models/{card['name']}/model.keras')` with this "
        f"package imported, or without it `tf.saved_model.load('saved_models/{card['name']}/1')`. "
        f"Observations are [window, time, component], components "
        f"{', '.join(card['components'])}, units {card['units']}, NaN = not observed.",
        "",
        "## Scores",
        "",
        f"Mean squared error of the state on {scores['windows']:,} held-out windows (seed "
        f"{scores['seed']}), standard error over windows.",
        "",
        "| | R-score |",
        "|---|---|",
        f"| **this model** | **{scores['r_score']:.3f}**"
        + ("" if error is None else f" +- {error:.3f}")
        + " |",
        *comparison,
        "",
        f"Over the first tenth of a window {parts['start']:.3f}, in the middle "
        f"{parts['middle']:.3f}, over the last tenth {parts['end']:.3f}; the median over windows "
        f"is {scores['r_score_median']:.3f}. "
        f"{1e3 * scores['seconds_per_window']:.2f} ms a window in batches on "
        f"{scores['machine']['cores']} core(s) of {scores['machine']['processor']}.",
        "",
        "## Training",
        "",
        f"`tf4dvar train {training['experiment']}`, protocol {training['protocol']}, seed "
        f"{training['seed']}: {data}; {source['steps']:,} steps of {source['batch_size']} windows "
        f"({seen:,} in all) in {source['seconds'] / 60:.0f} minutes. "
        + ", ".join(f"{name} {version}" for name, version in card["packages"].items())
        + ".",
        "",
        "## Limits of use",
        "",
        "It knows this system, this time step and observations like those of its training: the "
        "same components, about the same times, the same noise. Other windows are reconstructed "
        "without a warning, and less well; score them on windows whose truth is known first.",
    ]
    return "\n".join(lines) + "\n"
