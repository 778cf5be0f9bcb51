"""How time and memory of training grow with K, batch, window length and state size, or grid.

python benchmarks/growth.py [--repeats 5] [--out benchmarks/results]
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
from timing import HERE, Worker, interleaved, measured_on

THREADS = 2
GENN = {"prior": "genn", "cell": "lstm", "iterations": 5, "batch": 128, "steps": 200}
LORENZ96 = {"prior": "lorenz96", "cell": "lstm", "iterations": 5, "batch": 32, "steps": 50}
MAPS = {"maps": True, "iterations": 5, "batch": 1}
RECOMPUTED = {"recompute": True}
SERIES = {
    "iterations": (GENN, "iterations", (1, 5, 10, 20, 40)),
    "iterations, recomputed": (GENN | RECOMPUTED, "iterations", (1, 5, 10, 20, 40)),
    "batch": (GENN, "batch", (1, 8, 32, 128, 256, 512)),
    "window length": (GENN | {"batch": 32}, "steps", (50, 200, 800, 3200)),
    "state size": (LORENZ96, "components", (4, 10, 30, 100, 300, 1000)),
}
# Of the published network for maps, squares of so many points.
OF_MAPS = {
    "iterations": (MAPS, "iterations", (1, 5, 10, 20)),
    "iterations, recomputed": (MAPS | RECOMPUTED, "iterations", (1, 5, 10, 20)),
    "batch": (MAPS, "batch", (1, 2, 4, 8)),
    "days": (MAPS, "days", (5, 10, 20, 40)),
    "points": (MAPS, "points", (32, 64, 128, 256)),
    "points, recomputed": (MAPS | RECOMPUTED, "points", (32, 64, 128, 256, 512)),
}


def sweep(base, name, values, repeats):
    """Seconds of a training step and an inference, and peak memory, for each value."""
    rows = []
    for value in values:
        settings = base | {name: value, "threads": THREADS}
        settings |= {} if "maps" in base else {"pieces": THREADS}
        worker = Worker(library="tensorflow", **settings)
        rows.append({"value": value, **interleaved([worker], repeats)[0]})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def plot(sweeps, path):
    """Time and memory against each variable, on logarithmic axes."""
    figure, axes = plt.subplots(2, len(sweeps), figsize=(3.2 * len(sweeps), 5.5), sharey="row")
    for column, (name, rows) in zip(axes.T, sweeps.items(), strict=True):
        values = [row["value"] for row in rows]
        seconds = [row["train_s"] for row in rows]
        column[0].loglog(values, seconds, "o-", label="training step")
        column[0].loglog(values, [row["infer_s"] for row in rows], "s--", label="inference")
        last = [seconds[-1] * value / values[-1] for value in values]
        column[0].loglog(values, last, ":", color="0.5", label="linear")
        column[1].semilogx(values, [row["peak_gb"] for row in rows], "o-")
        column[0].set_title(name)
        column[1].set_xlabel(name.split(",")[0])
    axes[0, 0].set_ylabel("time, s")
    axes[1, 0].set_ylabel("peak memory of the process, GB")
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def table(sweeps):
    """Markdown."""
    lines = ["| | value | training step, s | inference, s | memory, GB |", "|---|---|---|---|---|"]
    for name, rows in sweeps.items():
        lines += [
            f"| {name} | {row['value']} | {row['train_s']:.3g} | {row['infer_s']:.3g} "
            f"| {row['peak_gb']:.2f} |"
            for row in rows
        ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, kinds in {"growth": SERIES, "growth_on_maps": OF_MAPS}.items():
        sweeps = {kind: sweep(*of, arguments.repeats) for kind, of in kinds.items()}
        report = {"machine": measured_on(), "threads": THREADS, "sweeps": sweeps}
        out = arguments.out / name
        out.with_suffix(".json").write_text(json.dumps(report, indent=1))
        out.with_suffix(".md").write_text(table(sweeps) + "\n")
        plot(sweeps, out.with_suffix(".png"))


if __name__ == "__main__":
    main()
