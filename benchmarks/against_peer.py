"""Times of training and inference as shares of the PyTorch peer's, and of the ceiling.

python benchmarks/against_peer.py [--repeats 5] [--out benchmarks/results]
"""

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

from products import operations
from timing import HERE, Worker, interleaved, measured_on

BATCH, STEPS = 128, 200


def ceiling(threads):
    """See `products.measure`; in a process of its own, which has so many threads."""
    command = [sys.executable, HERE / "products.py", str(BATCH * STEPS), str(threads)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def compare(prior, cell, iterations, threads, repeats):
    """One network, both libraries, interleaved."""
    settings = {"threads": threads, "prior": prior, "cell": cell, "iterations": iterations}
    ours = Worker(library="tensorflow", pieces=threads, **settings)
    ours, peer = interleaved([ours, Worker(library="torch", **settings)], repeats)
    return {**settings, **ours, **ratios(ours, peer), "peer": peer}


def ratios(ours, peer):
    """Each of our figures over the peer's."""
    return {f"{name.rsplit('_', 1)[0]}_ratio": ours[name] / peer[name] for name in peer}


def share_of_ceiling(row, parts):
    """Seconds that the products alone take, over those of the training step and the inference."""
    names = (row["prior"], row["cell"])
    alone = [row["iterations"] * sum(parts[name][kind] for name in names) for kind in (0, 1)]
    count = operations(names, BATCH * STEPS, row["iterations"])
    return {
        "infer_share": alone[0] / row["infer_s"],
        "train_share": alone[1] / row["train_s"],
        "infer_gflops": count / row["infer_s"] / 1e9,
        "train_gflops": 3 * count / row["train_s"] / 1e9,
    }


COLUMNS = {
    "threads": "threads",
    "prior": "prior",
    "cell": "update",
    "iterations": "K",
    "train_s": "training step, s",
    "train_ratio": "of the peer's",
    "infer_s": "inference, s",
    "infer_ratio": "of the peer's",
    "first_step_s": "first step, s",
    "first_step_ratio": "of the peer's",
    "peak_gb": "memory, GB",
    "peak_ratio": "of the peer's",
    "train_share": "share of the ceiling, training",
    "infer_share": "inference",
}


def table(rows, columns=COLUMNS):
    """Markdown."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = (row.get(name, "-") for name in columns)
        text = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells)
        lines.append("| " + " | ".join(text) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--iterations", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    rows, ceilings = [], {}
    for threads in (2, 1):
        peak, parts = ceiling(threads)
        ceilings[threads] = {"gflops_1024": peak, "seconds_by_part": parts}
        for prior, cell, iterations in itertools.product(
            ("genn", "rk4"), ("lstm", "conv"), arguments.iterations
        ):
            row = compare(prior, cell, iterations, threads, arguments.repeats)
            if prior == "genn":
                row |= share_of_ceiling(row, parts)
            rows.append(row)
            print(table([row]).splitlines()[-1], flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": measured_on(), "ceilings": ceilings, "rows": rows}
    (arguments.out / "against_peer.json").write_text(json.dumps(report, indent=1))
    (arguments.out / "against_peer.md").write_text(table(rows) + "\n")


if __name__ == "__main__":
    main()
