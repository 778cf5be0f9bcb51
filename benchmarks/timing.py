"""Workers, and what they measure."""

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from tf4dvar.runtime import machine

HERE = Path(__file__).parent


class Worker:
    """A process of `worker.py`, and the times it took."""

    def __init__(self, **settings):
        environment = {**os.environ, "OMP_NUM_THREADS": str(settings["threads"])}
        self.process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.first_step_s = json.loads(self.process.stdout.readline())["first_step_s"]
        self.seconds = {"train": [], "infer": []}

    def time(self, call):
        """Make one call and keep its time."""
        print(call, file=self.process.stdin, flush=True)
        self.seconds[call].append(float(self.process.stdout.readline()))

    def finish(self):
        """Medians of all but the first call of each kind, and the peak memory."""
        self.process.stdin.close()
        peak = json.loads(self.process.stdout.readline())["peak_gb"]
        self.process.wait()
        medians = {
            f"{call}_s": statistics.median(times[1:])
            for call, times in self.seconds.items()
            if times
        }
        return {"first_step_s": self.first_step_s, **medians, "peak_gb": peak}


def interleaved(workers, repeats, calls=("train", "infer")):
    """Let all workers make each call in turn, `repeats` times and once to warm up."""
    for _ in range(repeats + 1):
        for call in calls:
            for worker in workers:
                worker.time(call)
    return [worker.finish() for worker in workers]


def measured_on(packages=("tensorflow", "keras", "torch", "numpy")):
    """The machine, and the versions of what ran on it."""
    return {
        **machine(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }
