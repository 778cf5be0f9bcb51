"""Latency of a single window, as a service sees it: of the Keras model and of its SavedModel.

python benchmarks/latency.py [--calls 50] [--out benchmarks/results]
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from network import CELLS, PRIORS, tf, use_threads
from timing import HERE, measured_on

from tf4dvar.layers import GradientSolver
from tf4dvar.models import FourDVarNet

STEPS, COMPONENTS = 200, 3


def milliseconds(call, calls):
    """Median and 99th percentile of so many calls, after ten to warm up."""
    took = []
    for _ in range(calls + 10):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return dict(zip(("p50_ms", "p99_ms"), 1e3 * np.percentile(took[10:], (50, 99)), strict=True))


def saved(model, directory):
    """The model as a SavedModel, loaded without its Keras code."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec((None, None, COMPONENTS), tf.float32)]
    archive.add_endpoint("serve", model.call, signature)
    archive.write_out(directory, verbose=False)
    return tf.saved_model.load(directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    window = np.random.default_rng(0).normal(size=(1, STEPS, COMPONENTS)).astype("float32")
    window[:, np.arange(STEPS) % 8 > 0] = np.nan
    window = tf.constant(window)
    rows = []
    for prior, cell, iterations in itertools.product(("genn", "rk4"), CELLS, (5, 20)):
        model = FourDVarNet(PRIORS[prior](), GradientSolver(CELLS[cell](), iterations))
        model.build(window.shape)
        graph = tf.function(lambda window, model=model: model(window))
        with tempfile.TemporaryDirectory() as directory:
            loaded = saved(model, directory)
            rows.append(
                {
                    "prior": prior,
                    "cell": cell,
                    "iterations": iterations,
                    "keras": milliseconds(lambda g=graph: g(window).numpy(), arguments.calls),
                    "saved_model": milliseconds(
                        lambda m=loaded: m.serve(window).numpy(), arguments.calls
                    ),
                }
            )
        print(json.dumps(rows[-1]), flush=True)
    lines = ["| prior | update | K | Keras, p50 ms | SavedModel, p50 | p99 |", "|---" * 6 + "|"]
    lines += [
        f"| {row['prior']} | {row['cell']} | {row['iterations']} | {row['keras']['p50_ms']:.1f} "
        f"| {row['saved_model']['p50_ms']:.1f} | {row['saved_model']['p99_ms']:.1f} |"
        for row in rows
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": measured_on(), "threads": arguments.threads, "rows": rows}
    (arguments.out / "latency.json").write_text(json.dumps(report, indent=1))
    (arguments.out / "latency.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
