"""A model of Lorenz-63 on patterns of observation of every kind, beside the exact posterior.

    python benchmarks/patterns.py l63 --out patterns --windows 2000

In `--out` the windows of each pattern, which no training or choice has seen, and what importance
sampling says of them, which takes some minutes a pattern and is kept there. Errors are mean
squares over the state; ratios are of what both have on the same windows. `--figure` draws how
right what is stated is, of the model and of the exact posterior.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import xarray as xr

from tf4dvar.classical import ImportanceSampling
from tf4dvar.data import ObservationPlan, open_windows, simulate_dataset, write_dataset
from tf4dvar.evaluation.calibration import (
    full_calibration,
    model_calibration,
    sample_calibration,
    sample_scores,
)
from tf4dvar.evaluation.comparison import problem_of
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.models import load_model
from tf4dvar.runtime import load_tensorflow
from tf4dvar.systems import Lorenz63, random_stream

STEPS, SEED = 200, 6_303
X = (0,)
# Windows that share a draw of what is missing, so that the exact posterior of all takes minutes.
ALIKE = 50
PLANS = {
    "C": ObservationPlan(X, 8, 2.0, edge=10),
    "T": ObservationPlan(X, 8, 2.0),
    "C + 3 steps": ObservationPlan(X, 8, 2.0, edge=10, phase=5),
    "every 4th": ObservationPlan(X, 4, 2.0, edge=10),
    "every 12th": ObservationPlan(X, 12, 2.0, edge=10),
    "a quarter missing": ObservationPlan(X, 8, 2.0, edge=10),
    "random times": ObservationPlan(X, 1, 2.0, edge=10),
    "noise 0.5": ObservationPlan(X, 8, 0.5, edge=10),
    "noise 8": ObservationPlan(X, 8, 8.0, edge=10),
    "all of three": ObservationPlan((0, 1, 2), 8, 2.0, edge=10),
}
# How many of the observed times are left in those that draw them: of 22 and of 180.
LEFT = {"a quarter missing": 16, "random times": 22}


def windows_of(pattern: str, number: int) -> xr.Dataset:
    """Windows observed so."""
    dataset = simulate_dataset(Lorenz63(), PLANS[pattern], number, STEPS, seed=SEED)
    if pattern in LEFT:
        observations = dataset["observations"].values.copy()
        rng = random_stream("left", SEED)
        times = np.flatnonzero(~np.isnan(observations).all(axis=(0, 2)))
        for start in range(0, number, ALIKE):
            out = rng.permutation(times)[LEFT[pattern] :]
            observations[start : start + ALIKE, out] = np.nan
        dataset["observations"] = dataset["observations"].copy(data=observations)
    # Of every observation, as a model for any noise is told it.
    variance = np.full(dataset["observations"].shape, PLANS[pattern].noise_variance)
    return dataset.assign(noise_variance=(dataset["observations"].dims, variance))


def limit_of(dataset: xr.Dataset, samples: int, draws: int) -> dict:
    """What the exact posterior has."""
    analysis = ImportanceSampling(samples, draws=draws).analyse(problem_of(dataset))
    truth = dataset["truth"].values
    drawn = sample_scores(np.moveaxis(analysis.samples, 1, 0), truth)
    return {
        "error": float(np.square(analysis.states - truth).mean()),
        "small samples": int((~analysis.converged).sum()),
        **full_calibration(analysis.states - truth, analysis.spread),
        "samples": sample_calibration(drawn),
    }


def model_on(model, dataset: xr.Dataset, draws: int) -> dict:
    """The same of a model."""
    found = reconstruct(model, dataset, timed=True)
    told = {
        "error": float(np.square(found.states - dataset["truth"].values).mean()),
        "suspect": int(found.suspect.sum()),
        "seconds": found.seconds_per_window,
    }
    if model.uncertainty is None:
        return told
    scores = model_calibration(model, dataset, draws, system=Lorenz63())
    return {**told, **scores["calibration"], "samples": scores["calibration_of_samples"]}


def row(pattern: str, limit: dict, found: dict) -> str:
    """Of the table."""
    ratio = found["error"] / limit["error"]
    cells = [f"{limit['error']:.3f}", f"{found['error']:.3f}", f"{ratio:.3f}"]
    if "crps" in found:
        drawn = found["samples"]["energy_score"] / limit["samples"]["energy_score"]
        cells += [
            f"{found['crps'] / limit['crps']:.3f}",
            f"{found['spread_over_error']:.3f}",
            f"{found['within_90_percent']:.3f}",
            f"{drawn:.3f}",
            f"{found['samples']['step_residual']:.1e}",
        ]
    return f"| {pattern} | {' | '.join(cells)} | {found['suspect']} |"


def draw(limits: dict[str, dict], found: dict[str, dict], path: Path) -> None:
    """Errors by how large they are stated, shares in intervals, ranks of samples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    errors, shares, ranks = figure.subplots(1, 3)
    for number, (pattern, of) in enumerate(found.items()):
        colour = f"C{number}"
        for scores, style in ((of, "o-"), (limits[pattern], ":")):
            stated = [[each[name] for name in ("spread", "error")] for each in scores["by_spread"]]
            label = pattern if scores is of else None
            errors.loglog(*zip(*stated, strict=True), style, color=colour, ms=3, lw=1, label=label)
        inside = [of[f"within_{percent}_percent"] for percent in (50, 90, 99)]
        shares.plot([50, 90, 99], 100 * np.array(inside) - [50, 90, 99], "o-", ms=3, lw=1)
        height = of["samples"]["ranks"]
        ranks.plot(np.arange(len(height)) + 0.5, np.array(height) * len(height), lw=1)
    least, most = errors.get_xlim()
    errors.plot([least, most], [least, most], color="0.6", lw=0.8, zorder=0)
    errors.set(xlabel="stated deviation", ylabel="root mean square error")
    errors.set_title("tenths of the entries; dotted: exact posterior", fontsize=10)
    errors.legend(fontsize=7)
    shares.axhline(0, color="0.6", lw=0.8)
    shares.set(xlabel="interval, %", ylabel="of the truth inside, % more", xticks=[50, 90, 99])
    shares.set_title("intervals of the Gaussian", fontsize=10)
    ranks.axhline(1, color="0.6", lw=0.8)
    ranks.set(xlabel="tenth of the samples below the truth", ylabel="frequency by chance", ylim=0)
    ranks.set_title("ranks of the truth among samples", fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="names or files; without, the limits alone")
    parser.add_argument("--out", type=Path, required=True, help="folder of windows and limits")
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=10_000_000, help="of the exact posterior")
    parser.add_argument("--draws", type=int, default=30, help="of each posterior")
    parser.add_argument("--patterns", default=",".join(PLANS), help="names, with commas")
    parser.add_argument("--figure", type=Path, help="of the last model")
    asked = parser.parse_args()
    load_tensorflow()
    asked.out.mkdir(exist_ok=True, parents=True)
    limits = {}
    for pattern in asked.patterns.split(","):
        name = f"{pattern.replace(' ', '_')}-{asked.windows}-{asked.samples}-{asked.draws}"
        file, record = asked.out / f"{name}.nc", asked.out / f"{name}.json"
        if not record.is_file():
            write_dataset(windows_of(pattern, asked.windows), file, force=True)
            with open_windows(file) as dataset:
                limit = limit_of(dataset.load(), asked.samples, asked.draws)
            record.write_text(json.dumps(limit, indent=1))
        limits[pattern] = file, json.loads(record.read_text())
        print(pattern, limits[pattern][1]["error"], limits[pattern][1]["small samples"], flush=True)
    for path in asked.models:
        model = load_model(path)
        print(f"\n{path}\n")
        print("| pattern | limit | error | ratio | CRPS | spread/error | 90 % | energy | step |  |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        found = {}
        for pattern, (file, limit) in limits.items():
            with open_windows(file) as dataset:
                found[pattern] = model_on(model, dataset.load(), asked.draws)
            print(row(pattern, limit, found[pattern]), flush=True)
        if asked.figure:
            draw({pattern: limit for pattern, (_, limit) in limits.items()}, found, asked.figure)


if __name__ == "__main__":
    main()
