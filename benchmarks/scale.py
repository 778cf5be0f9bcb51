"""Memory of many times the data, throughput of workers on Ray, and what a task costs.

python benchmarks/scale.py [--files 10] [--workers 1 2] [--out benchmarks/results]

Throughput is that of a second archive, after all workers have started and worked on a first one;
the start is reported by itself. States of all runs must be equal, and the losses of trainings. Two
workers need two processors that nothing else uses.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from timing import HERE, measured_on

from tf4dvar.data import DIMS, read_windows, write_dataset
from tf4dvar.experiments import experiment_by_name
from tf4dvar.models import load_model
from tf4dvar.scale.archive import CHUNK_ENTRIES, reconstruct_archive, with_model, with_workers
from tf4dvar.scale.training import train_with_workers
from tf4dvar.scale.workers import ray_workers
from tf4dvar.training import RunDirectory

MODEL = HERE.parent / "saved_models" / "l63-c" / "model.keras"
STEPS, COMPONENTS, EVERY = 200, 3, 8
# A file, two chunks.
WINDOWS = 3456


def write_archive(folder, files, windows=WINDOWS):
    """Files of windows of noise, x observed: the time that a model takes is the same."""
    folder.mkdir()
    for seed in range(files):
        shape = (windows, STEPS, COMPONENTS)
        observations = np.full(shape, np.nan, "float32")
        observations[:, ::EVERY, 0] = (
            8 * np.random.default_rng(seed).normal(size=shape)[:, ::EVERY, 0]
        )
        write_dataset(xr.Dataset({"observations": (DIMS, observations)}), folder / f"{seed}.nc")
    return str(folder / "*.nc")


COMMAND = """
import pathlib, re, sys
from tf4dvar.cli.app import main
try:
    main()
finally:
    status = pathlib.Path("/proc/self/status").read_text()
    print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
"""


def peak_gb(pattern, out):
    """Peak memory of the command, in one process."""
    arguments = ["reconstruct", MODEL, "--data", pattern, "--out", out]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[-1]) / 2**20


def throughput(reconstructor, first, second, folder):
    """Seconds of the first archive, and windows per second of the second."""
    started = time.perf_counter()
    reconstruct_archive(first, folder / "first", MODEL, reconstructor)
    between = time.perf_counter()
    summary = reconstruct_archive(second, folder / "second", MODEL, reconstructor)
    return {
        "first_s": between - started,
        "windows_per_s": summary.windows / (time.perf_counter() - between),
    }


def states(folder):
    return np.concatenate(
        [read_windows(file, "state")["state"] for file in sorted((folder / "second").glob("*.nc"))]
    )


def cost_of_a_task(workers, tasks=200):
    """Milliseconds of a chunk there and back, with nothing computed."""
    chunk = np.zeros((CHUNK_ENTRIES // (STEPS * COMPONENTS), STEPS, COMPONENTS), "float32")
    with ray_workers(workers, None, _same) as spread:
        list(spread((n, (chunk,)) for n in range(4 * workers)))
        took = []
        before = time.perf_counter()
        for _ in spread((n, (chunk,)) for n in range(tasks)):
            took.append(time.perf_counter() - before)
            before = time.perf_counter()
    return {"median_ms": 1e3 * statistics.median(took), "mean_ms": 1e3 * statistics.mean(took)}


def _same():
    return lambda chunk: chunk


def driver(pattern, folder):
    """Windows per second that the driver reads and writes, with nothing computed."""

    def same(chunks):
        for chunk in chunks:
            yield chunk, np.nan_to_num(chunk.observations)

    return throughput(same, pattern, pattern, folder)["windows_per_s"]


def training(workers, out):
    """Seconds of an epoch of 64 steps in several processes, and of all that is around epochs."""
    started = time.perf_counter()
    train_with_workers(
        experiment_by_name("l63-sup-genn-lstm"), out, workers, epochs=4, iterations=10, windows=1024
    )
    took = time.perf_counter() - started
    log = RunDirectory(out).history()
    ends = [float(row["elapsed"]) for row in log]
    result = {"epoch_s": statistics.median(np.diff(ends)), "start_and_end_s": took - ends[-1]}
    return result, [float(row["loss"]) for row in log]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    results = {"measured_on": measured_on(("tensorflow", "keras", "ray", "numpy"))}
    results["windows"] = options.files * WINDOWS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = write_archive(folder / "small", 1)
        large = write_archive(folder / "large", options.files)
        one_file = write_archive(folder / "one_file", 1, options.files * WINDOWS)
        results["peak_gb"] = {
            "1 file": peak_gb(small, folder / "states-1"),
            f"{options.files} files": peak_gb(large, folder / "states-2"),
            f"1 file of {options.files} times the windows": peak_gb(one_file, folder / "states-3"),
        }
        results["driver_windows_per_s"] = driver(large, folder / "driver")
        runs = {"in this process": contextlib.nullcontext(with_model(load_model(MODEL)))}
        runs |= {f"{n} workers": with_workers(MODEL, n, None) for n in options.workers}
        for number, (run, context) in enumerate(runs.items()):
            out = folder / f"run-{number}"
            started = time.perf_counter()
            with context as reconstructor:
                start = time.perf_counter() - started
                results[run] = {"ray_start_s": start}
                results[run] |= throughput(reconstructor, small, large, out)
            assert number == 0 or np.array_equal(states(out), states(folder / "run-0")), run
            print(run, results[run], flush=True)
        losses = {}
        for n in options.workers:
            results[f"training, {n} workers"], losses[n] = training(n, folder / f"training-{n}")
            # Of the first epoch: rounding, which is another one, grows as the training goes on.
            first = losses[options.workers[0]]
            np.testing.assert_allclose(losses[n][0], first[0], rtol=1e-5)
            results[f"training, {n} workers"]["last loss"] = losses[n][-1]
        results["task"] = {f"{n} workers": cost_of_a_task(n) for n in options.workers}
    options.out.mkdir(exist_ok=True)
    (options.out / "scale.json").write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
