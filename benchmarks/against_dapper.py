"""Filters here and in DAPPER on the same truth and observations: errors and time a cycle.

    python3.12 -m venv dapper
    dapper/bin/pip install 'dapper>=1.8'
    python benchmarks/against_dapper.py dapper/bin/python [--setting sakov2008] [--rounds 3]

DAPPER (Raanes et al., github.com/nansencenter/DAPPER) needs Python 3.12 or later: an environment of
its own. Each has the same members and inflation, by turns, on one thread. DAPPER's time has its
own statistics in it, which it takes at every analysis and not between; so has ours.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Of each setting the method by its name here, and what it is there.
METHODS = {
    "sakov2008": ("EnKF 24", "Lorenz96.sakov2008", "EnKF", {"N": 24, "infl": 1.013}),
    "sakov2012": ("EnKF 10", "Lorenz63.sakov2012", "EnKF", {"N": 10, "infl": 1.02}),
    "bocquet2010": ("EnKF 24", "Lorenz96.bocquet2010_m40", "EnKF", {"N": 24, "infl": 1.06}),
}

# Run by the Python that has DAPPER: of the files of a setting the errors of every cycle.
THEIRS = """
import importlib, json, sys, time
import numpy as np
import dapper.da_methods as methods
import dapper.mods as modelling
import dapper.tools.progressbar as progress

told = json.loads(sys.argv[1])
progress.disable_progbar = True
model = importlib.import_module("dapper.mods." + told["module"]).HMM
found = np.load(told["file"])
cycles = len(found["observations"])
old = model.tseq
model.tseq = modelling.Chronology(old.dt, dko=told["every"], Ko=cycles - 1, BurnIn=0, Tplot=1)
np.random.seed(told["seed"])
method = getattr(methods, told["method"])(upd_a="Sqrt", rot=True, **told["settings"])
started = time.perf_counter()
method.assimilate(model, found["truth"], found["observations"])
seconds = (time.perf_counter() - started) / cycles
errors = np.array([method.stats.err.rms.a[cycle] for cycle in range(cycles)])
print(json.dumps({"errors": errors.tolist(), "ms": 1e3 * seconds}))
"""


def ours(name: str, case: str, cycles: int, seed: int) -> None:
    """Print the errors of every cycle, and milliseconds of one, as JSON."""
    from tf4dvar.cycling import BENCHMARKS

    found = BENCHMARKS[name].run([case], cycles=cycles, seed=seed)[case]
    print(json.dumps({"rmse": found.rmse._asdict(), "ms": 1e3 * found.seconds}))


def written(name: str, cycles: int, seed: int, file: Path) -> int:
    """Write truth and observations of all cycles, and return the steps between them."""
    import numpy as np

    from tf4dvar.cycling import BENCHMARKS

    setting = BENCHMARKS[name]
    pieces = list(setting.pieces(cycles, seed))
    truth = np.concatenate([each.truth[bool(number) :] for number, each in enumerate(pieces)])
    seen = np.concatenate(
        [
            each.observations[setting.every :: setting.every, list(setting.observed)]
            for each in pieces
        ]
    )
    np.savez(file, truth=truth, observations=seen)
    return setting.every


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="that has DAPPER")
    parser.add_argument("--setting", choices=METHODS, default="sakov2008")
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="Seeds, one after the other.")
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    case, module, method, settings = METHODS[asked.setting]
    if asked.ours:
        ours(asked.setting, case, asked.cycles, int(asked.ours))
        return
    from tf4dvar.cycling import BENCHMARKS
    from tf4dvar.evaluation.time_means import time_mean

    burn_in = BENCHMARKS[asked.setting].burn_in
    environment = {**os.environ, **THREADS, "DAPPER_LIVEPLOTTING": "false"}

    def run(*command):
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return json.loads(done.stdout.splitlines()[-1])

    print("| seed | ours | DAPPER's | ours, ms a cycle | DAPPER's | ratio |")
    print("|---|---|---|---|---|---|")
    for seed in range(asked.rounds):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "cycles.npz"
            told = {
                "module": module,
                "method": method,
                "settings": settings,
                "file": str(file),
                "every": written(asked.setting, asked.cycles, seed, file),
                "seed": seed,
            }
            theirs = run(asked.python, "-c", THEIRS, json.dumps(told))
        same = ("--setting", asked.setting, "--cycles", str(asked.cycles), "--ours", str(seed))
        here = run(sys.executable, __file__, asked.python, *same)
        error = time_mean(theirs["errors"][burn_in:])
        print(
            f"| {seed} | {here['rmse']['mean']:.4f} +- {here['rmse']['error']:.4f} "
            f"| {error.mean:.4f} +- {error.error:.4f} | {here['ms']:.2f} | {theirs['ms']:.2f} "
            f"| {here['ms'] / theirs['ms']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
