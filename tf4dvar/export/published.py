"""Trained models with what a user must know of them: `saved_models/NAME`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tf4dvar.data import protocol_plan, simulate_dataset
from tf4dvar.data.fields import FIELDS
from tf4dvar.errors import InputError
from tf4dvar.evaluation.comparison import compare_model
from tf4dvar.evaluation.metrics import r_score
from tf4dvar.experiments import experiment_by_name
from tf4dvar.export import save
from tf4dvar.export.card import components_of, length_of
from tf4dvar.export.field_card import DAYS, MEMBERS, field_readme, scores_on_held_out_maps
from tf4dvar.models import FourDVarNet, load_model, twin
from tf4dvar.paper.reference_scores import REFERENCES
from tf4dvar.paper.tables import held_out_windows
from tf4dvar.runtime import machine
from tf4dvar.storage import atomic_path
from tf4dvar.storage.published import card_of
from tf4dvar.systems import TEST_SEED, system_by_name
from tf4dvar.systems.observation_plan import ObservationPlan
from tf4dvar.training import RunDirectory, learned_weights

# Windows on which a model is tried outside its protocol.
OTHER_WINDOWS = 500
# How much later the observed times are there.
SHIFT = 3


def publish(run: Path, out: Path, windows: int | None = None) -> dict[str, Any]:
    """Score the model of a run directory on held-out windows, and write it for others to use.

    `out` gets `model.keras` (without the optimiser), the next version of the SavedModel, see
    `save`, `card.json` and `README.md`.

    Args:
        run: a run directory.
        out: folder of the published model, which takes its name.
        windows: number of test windows, 2 at least; by default those of the tables.

    Returns:
        The card.

    Raises:
        InputError: there is no model in `run`, or too few windows or too many.
    """
    if windows is not None and windows < 2:
        raise InputError(
            f"Received {windows} test windows; expected at least 2, for there to be a standard "
            "error."
        )
    directory = RunDirectory(run)
    options = directory.options()
    if "experiment" not in options:
        raise InputError(
            f"{run} is a training on {options['data']}; expected one of an experiment. Its model "
            "is exported by `tf4dvar export`."
        )
    experiment = experiment_by_name(options["experiment"])
    protocol, of_fields = options["protocol"], experiment.system in FIELDS
    if of_fields and windows is not None:
        raise InputError(
            f"Received {windows} test windows; a model of maps is scored on {MEMBERS} series of "
            f"{DAYS} days. Leave the number out."
        )
    trained = load_model(run)
    if of_fields:
        scores = scores_on_held_out_maps(trained, experiment)
    else:
        held_out = held_out_windows(experiment.system, protocol, windows)
        scores = compare_model(trained, held_out).scores
        others = other_observations(trained, experiment.system, protocol)
        scores = {**scores, "other_observations": others}
    model = twin(trained)
    save(
        model,
        out,
        description={
            "name": out.name,
            "summary": experiment.summary,
            "system": experiment.system,
            "protocol": protocol,
            **components_of(experiment),
            "parameters": learned_weights(experiment, trained),
            "source": {
                "training": options,
                "fresh_windows": experiment.fresh or experiment.cycled,
                "batch_size": experiment.batch_size,
                "steps": int(trained.optimizer.iterations),
                "seconds": float(directory.history()[-1]["elapsed"]),
            },
            "scores": {**scores, "seed": TEST_SEED, "machine": machine()},
        },
    )
    with atomic_path(out / "model.keras") as temporary:
        model.save(temporary)
    card = card_of(out)
    with atomic_path(out / "README.md") as temporary:
        temporary.write_text(readme(card))
    return card


def other_observations(model: FourDVarNet, system: str, protocol: str) -> dict[str, float | None]:
    """R-scores of windows that are observed otherwise than in training.

    Args:
        model: a trained model.
        system: short name.
        protocol: on which it was trained.

    Returns:
        By a description; None where the solver diverges.
    """
    plan, label = protocol_plan(system, protocol), "as in training"
    if not isinstance(plan, ObservationPlan):
        # It draws all of these; the default one is looked at beside others.
        label, plan = next(
            (f"protocol {name}", each)
            for name, each in system_by_name(system).protocols.items()
            if isinstance(each, ObservationPlan)
        )
    plans = {
        label: (plan, 0),
        f"{SHIFT} steps later": (plan, SHIFT),
        "twice as often": (replace(plan, every=plan.every // 2), 0),
        "half as often": (replace(plan, every=2 * plan.every), 0),
        "noise of twice the variance": (replace(plan, noise_variance=2 * plan.noise_variance), 0),
    }
    return {label: _r_score(model, system, *other) for label, other in plans.items()}


def _r_score(model, system, plan, shift):
    # What is observed at 0, `every`, ... of longer windows is so at `shift`, ... of these.
    cut = -shift % plan.every
    windows = simulate_dataset(
        system_by_name(system), plan, OTHER_WINDOWS, steps=200 + cut, seed=TEST_SEED
    ).isel(time=slice(cut, None))
    values = windows["observations"].values.astype("float32")
    inputs = {"observations": values}
    if model.noise_variance is not None:
        inputs["noise_variance"] = np.full_like(values, plan.noise_variance)
    states = model.predict(inputs, verbose=0)
    score = float(np.mean(r_score(states, windows["truth"].values)))
    return score if np.isfinite(score) else None


def readme(card: dict[str, Any]) -> str:
    """The page of a published model.

    Args:
        card: its card.
    """
    if card["system"] in FIELDS:
        return field_readme(card)
    scores, source = card["scores"], card["source"]
    training, parts = source["training"], scores["r_score_by_part"]
    data = (
        "new simulated windows with new noise in every pass"
        if source["fresh_windows"]
        else f"{training['windows']:,} simulated windows, the same in every pass"
    )
    seen = source["steps"] * source["batch_size"]
    comparison = [
        f"| {reference.label} | {reference.shown} |"
        for reference in REFERENCES.get((card["system"], card["protocol"]), ())
    ]
    others = [
        f"| {label} | {'diverges' if r_score is None else format(r_score, '.3g')} |"
        for label, r_score in scores["other_observations"].items()
    ]
    lines = [
        f"# {card['name']}",
        "",
        f"{card['summary'][0].upper()}{card['summary'][1:]}. System {card['system']}, observation "
        f"protocol {card['protocol']}; {card['parameters']:,} trained parameters, "
        f"{card['iterations']} iterations.",
        "",
        "## Use",
        "",
        f"    tf4dvar reconstruct {card['name']} --data windows.nc --out states.nc",
        "",
        f"or `tf4dvar.load_model('{card['name']}')` in Python, or without this package "
        f"`tf.saved_model.load('saved_models/{card['name']}/1')`. "
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
        f"| **this model** | **{scores['r_score']:.3f}** +- {scores['r_score_se']:.3f} |",
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
        f"`tf4dvar train {training['experiment']} {length_of(training)}`, protocol "
        f"{training['protocol']}, seed "
        f"{training['seed']}: {data}; {source['steps']:,} steps of {source['batch_size']} windows "
        f"({seen:,} in all) in {source['seconds'] / 60:.0f} minutes. "
        + ", ".join(f"{name} {version}" for name, version in card["packages"].items())
        + ".",
        "",
        "## Limits of use",
        "",
        "It knows this system and this time step. Windows that are observed otherwise than in "
        "training are reconstructed at the price of this table, or worse where more differs: score "
        "the model on windows whose truth is known first. Labelled windows are warned of, plain "
        "arrays are not.",
        "",
        f"| observed, on {OTHER_WINDOWS} windows | R-score |",
        "|---|---|",
        *others,
    ]
    return "\n".join(lines) + "\n"
