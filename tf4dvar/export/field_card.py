"""What is told of a published model of fields: its scores on held-out maps, and its page."""

from dataclasses import replace
from typing import Any

import numpy as np

from tf4dvar.data import Members
from tf4dvar.data.fields import FIELDS, SPIN_UP, simulate_fields
from tf4dvar.evaluation.field_comparison import filled_by
from tf4dvar.evaluation.field_scores import field_scores
from tf4dvar.experiments import Experiment
from tf4dvar.export.card import length_of
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import TEST_SEED, random_stream
from tf4dvar.systems.instruments import PLANS, observed_by

# Held-out runs of the system, and the days of each; the first and last days, which lack
# observations before or after, are not scored.
MEMBERS, DAYS, MARGIN = 2, 62, 10
SCORES = ("mu", "sigma", "lambda_x", "lambda_t", "rmse")


def scores_on_held_out_maps(model: FourDVarNet, experiment: Experiment) -> dict[str, Any]:
    """The scores of a model of fields, and those where the same truth is seen otherwise.

    Args:
        model: trained on the experiment.
        experiment: with a system of fields.

    Returns:
        `SCORES`, see `field_scores`; the number of `maps`, `seconds_per_map`, and
        `other_observations`, mu by a description.
    """
    system, plan = FIELDS[experiment.system](), PLANS[experiment.protocol]
    data = simulate_fields(system, plan, DAYS, MEMBERS, seed=TEST_SEED, spin_up=SPIN_UP)
    spacing = system.length / 1e3 / system.points
    # The first call builds what it needs.
    _scores(model, data.isel(member=[0]), spacing)
    scores, seconds = _scores(model, data, spacing)
    others = {
        "half of the instruments": plan[: max(len(plan) // 2, 1)],
        "noise of twice the variance": [
            replace(each, noise=np.sqrt(2) * each.noise)  # type: ignore[type-var]
            for each in plan
        ],
    }
    truth, found = data["truth"].values.astype("float64"), {"as in training": scores["mu"]}
    for label, other in others.items():
        rng = random_stream("fields observations", TEST_SEED)
        seen, _ = observed_by(other, truth, system.length, rng)
        observed = data["observations"].copy(data=seen.astype("float32"))
        found[label] = _scores(model, data.assign(observations=observed), spacing)[0]["mu"]
    return {
        **{name: scores[name] for name in SCORES},
        "maps": MEMBERS * (DAYS - 2 * MARGIN),
        "seconds_per_map": seconds,
        "other_observations": found,
    }


def _scores(model, data, spacing):
    """Scores, and the seconds of a map."""
    analysis = filled_by(model, Members.of(data[["observations"]]), lambda *_: None)
    scored = np.s_[:, MARGIN:-MARGIN]
    scores = field_scores(analysis.states[scored], data["truth"].values[scored], 1.0, spacing)
    return scores._asdict(), analysis.seconds_per_map


def field_readme(card: dict[str, Any]) -> str:
    """The page of a published model of fields.

    Args:
        card: its card.
    """
    scores, source, name = card["scores"], card["source"], card["name"]
    training, days = source["training"], card["trained_on"]["window"]
    shown = {
        "mu": f"{scores['mu']:.4f}",
        "sigma": f"{scores['sigma']:.4f}",
        "lambda_x, km": _rounded(scores["lambda_x"]),
        "lambda_t, days": _rounded(scores["lambda_t"]),
        "RMSE": f"{scores['rmse']:.4g}",
        "seconds a map": f"{scores['seconds_per_map']:.3f}",
    }
    lines = [
        f"# {name}",
        "",
        f"{card['summary'][0].upper()}{card['summary'][1:]}. System {card['system']}, observation "
        f"plan {card['protocol']}; {card['parameters']:,} trained parameters, "
        f"{card['iterations']} iterations.",
        "",
        "## Use",
        "",
        f"    tf4dvar reconstruct {name} --data maps.nc --out filled.nc",
        "",
        f"or `tf4dvar.load_model('{name}')` in Python, or without this package "
        f"`tf.saved_model.load('saved_models/{name}/1')`. Observations are "
        f"[window, {days} days, y, x, 1], NaN = not observed.",
        "",
        "## Scores",
        "",
        f"On {scores['maps']} held-out maps of {MEMBERS} runs (seed {scores['seed']}).",
        "",
        "| " + " | ".join(shown) + " |",
        "|---" * len(shown) + "|",
        "| " + " | ".join(shown.values()) + " |",
        "",
        "mu is 1 - RMSE / RMS of the truth, sigma its standard deviation over days; lambda are the "
        "shortest scales of which the error has less than half of the power. Methods beside it on "
        f"such maps: docs/results.md. Timed on {scores['machine']['cores']} core(s) of "
        f"{scores['machine']['processor']}.",
        "",
        "## Training",
        "",
        f"`tf4dvar train {training['experiment']} {length_of(training)}`, seed "
        f"{training['seed']}: simulated "
        f"maps, observed anew in every pass; {source['steps']:,} steps of {source['batch_size']} "
        f"windows in {source['seconds'] / 60:.0f} minutes. "
        + ", ".join(f"{package} {version}" for package, version in card["packages"].items())
        + ".",
        "",
        "## Limits of use",
        "",
        "It knows this system, grid and time step, and fields that vary as these do.",
        "",
        "| observed | mu |",
        "|---|---|",
        *(f"| {label} | {mu:.3f} |" for label, mu in scores["other_observations"].items()),
    ]
    return "\n".join(lines) + "\n"


def _rounded(scale: float | None) -> str:
    return "-" if scale is None else f"{scale:.0f}"
