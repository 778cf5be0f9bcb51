"""Kills trainings and takes room and rights away from them; counts what was lost.

python torture/faults.py [--kills 60] [--minutes 25] [--seed 0]

Every chain is one training (or table) that is killed several times, at moments drawn at random
within phases, resumed each time, and compared with the one that nothing happened to. After every
kill the checkpoint must be readable and at most the epoch that was running lost; at the end the
weights must be the same to 1e-6 and no file left over. The exit code is 1 if anything was lost.
"""

import argparse
import csv
import io
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
from victim import EPOCHS, NAME, STEPS, Fault, run

# One that has imported TensorFlow and not used it: each child is a fork of it.
processes = multiprocessing.get_context("forkserver")
KILLED = -9
BATCHES = EPOCHS * STEPS
# Number of kills of a chain.
LINKS = 5
TOLERANCE = 1e-6
TRAIN = ["train", NAME, "--out"]
TABLE = ["tables", "l63", "--windows", "3", "--runs"]


class Lost(Exception):
    """What should not happen did."""


def check(holds, complaint):
    if not holds:
        raise Lost(complaint)


def in_epochs(calls):
    """The calls of the next two epochs at most, so that a chain has several links."""
    return lambda chain: calls * min(2, EPOCHS - chain.epochs())


def raises(chain):
    """K is set at the beginning, and raised after a third and two thirds of the epochs."""
    return sum(epoch >= chain.epochs() for epoch in (0, EPOCHS // 3, 2 * EPOCHS // 3))


def chunks(chain):
    """The descent of three windows takes two at once."""
    done = chain.out / "l63-none-rk4-fsgd-C" / "descent.npz"
    return 1 if done.exists() and len(np.load(done)["states"]) == 2 else 2 * (not done.exists())


# Of each phase: the function that is struck, how often it will be called (0: the phase is over),
# and about how many seconds it takes.
TRAINING = {
    "as it begins": ("begin", lambda chain: not chain.begun(), 0.01),
    "in the first epoch": ("batch", lambda chain: STEPS * (chain.epochs() == 0), 0.05),
    "in a batch": ("batch", in_epochs(STEPS), 0.05),
    "while a checkpoint is written": ("save", in_epochs(1), 0.1),
    "while a file takes its place": ("replace", in_epochs(2), 0.001),
    "while K is raised": ("raise", raises, 0.001),
    "while the log is written": ("log", in_epochs(1), 0.01),
    "in validation": ("validation", in_epochs(1), 0.2),
    "at any moment": ("", lambda chain: 1, 10),
}
TABLES = {
    "in the descent of a table": ("descent", chunks, 0.5),
    "between rows of a table": ("table", lambda chain: 2, 0.01),
    "in a training of a table": ("batch", in_epochs(STEPS), 0.05),
    "while a checkpoint of a table is written": ("save", in_epochs(1), 0.1),
    "in the scores of a table": (
        "scores",
        lambda chain: not (chain.run_path / "scores.json").exists(),
        0.5,
    ),
}


class Chain:
    """One training or table, and what happens to it.

    Args:
        folder: its own.
        table: whether it is a table.
        diverges: see `run`.
    """

    def __init__(self, folder, table=False, diverges=False):
        self.out = folder / "out"
        self.table = table
        self.diverges = diverges
        self.run_path = self.out / f"{NAME}-C" if table else self.out
        self.model = self.run_path / "model.keras"
        self.progress = folder / "progress"
        self.log = folder / "log.txt"
        folder.mkdir()

    def begun(self):
        return self.out.is_dir() if self.table else (self.out / "config.json").is_file()

    def start(self, fault=None, **limits):
        """A process that begins or resumes it."""
        arguments = [*(TABLE if self.table else TRAIN), str(self.out)]
        if self.begun():
            arguments.append("--resume")
        self.progress.unlink(missing_ok=True)
        settings = {"fault": fault, "diverges": self.diverges, **limits}
        process = processes.Process(
            target=run, args=(arguments, self.log, self.progress), kwargs=settings
        )
        process.start()
        return process

    def end(self, *args, **limits):
        """The exit code of such a process."""
        process = self.start(*args, **limits)
        process.join()
        return process.exitcode

    def epochs(self):
        """Of the checkpoint, which must be readable."""
        if not self.model.is_file():
            return 0
        return int(weights_of(self.model)["optimizer/vars/0"]) // STEPS

    def check_checkpoint(self):
        """At most the epoch that was running is lost."""
        try:
            epochs = self.epochs()
        except Exception as error:
            raise Lost(f"The checkpoint cannot be read: {error!r}") from error
        begun = self.progress.read_text().split() if self.progress.is_file() else []
        if begun:
            check(epochs >= int(begun[-1]), f"Epoch {begun[-1]} had begun, {epochs} are saved")

    def check_result(self, whole):
        """It is the same as one that nothing happened to, and nothing is left over."""
        ours, theirs = weights_of(self.model), weights_of(whole.model)
        check(ours.keys() == theirs.keys(), "Other weights")
        for name, values in ours.items():
            difference = np.abs(values - theirs[name]).max(initial=0)
            check(difference <= TOLERANCE, f"{name} differs by {difference}")
        check(stable_log(self.run_path) == stable_log(whole.run_path), "Another log")
        if self.table:
            check(stable_table(self.out) == stable_table(whole.out), "Another table")
        leftovers = [file.name for file in self.out.rglob(".*")]
        check(not leftovers, f"Left over: {leftovers}")


def weights_of(path):
    """All numbers of a `.keras` file."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        check(archive.testzip() is None, f"{path} is damaged")
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            file.visititems(
                lambda name, item: (
                    found.update({name: np.asarray(item)})
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    return found


def stable_log(run_path):
    """The lines of a log, without the clock."""
    with (run_path / "log.csv").open(newline="") as file:
        return [{**row, "elapsed": None} for row in csv.DictReader(file)]


def stable_table(runs):
    """The rows of a table, without the clock."""
    rows = json.loads((runs / "table-l63-C.json").read_text())["rows"]
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in rows]


def whole(folder, **kind):
    """A chain to which nothing happens."""
    chain = Chain(folder, **kind)
    check(chain.end() == 0, f"The uninterrupted run failed, see {chain.log}")
    return chain


class Torture:
    """The faults and their figures.

    Args:
        folder: for the runs.
        seed: of the moments.
        kills: how many at least.
        end: of `time.monotonic()`, after which no further fault is begun.
    """

    def __init__(self, folder, seed, kills, end):
        self.folder, self.kills, self.end = folder, kills, end
        self.random = random.Random(seed)
        self.numbers = itertools.count()
        self.phases = {
            table: itertools.cycle(phases.items())
            for table, phases in ((False, TRAINING), (True, TABLES))
        }
        self.injected, self.lost = Counter(), Counter()

    def new_folder(self):
        return self.folder / str(next(self.numbers))

    def draw(self, chain):
        """The next phase that is not over, and a moment of it."""
        for phase, (place, calls, seconds) in self.phases[chain.table]:
            if calls(chain):
                return Fault(
                    phase,
                    place,
                    call=self.random.randint(1, calls(chain)),
                    when=self.random.choice(("before", "during", "after")) if place else "at once",
                    delay=self.random.uniform(0, seconds),
                )

    def enough(self):
        return sum(self.injected.values()) >= self.kills or time.monotonic() > self.end

    def chain(self, reference, table=False, diverges=False):
        """Kill one training several times, resume it, compare it with the reference."""
        if self.enough():
            return
        chain = Chain(self.new_folder(), table, diverges)
        struck = []
        try:
            while len(struck) < LINKS and not self.enough():
                fault = self.draw(chain)
                code = chain.end(fault)
                if code == 0:  # It came to its end before the moment.
                    break
                struck.append(fault.phase)
                self.injected[fault.phase] += 1
                check(code == KILLED, f"Exit code {code} in place of a kill, see {chain.log}")
                chain.check_checkpoint()
            check(chain.end() == 0, f"It cannot be resumed, see {chain.log}")
            chain.check_result(reference)
        except Lost as loss:
            self.report(struck, f"{chain.out}: {loss}")
        else:
            print(f"survived: {', '.join(struck)}", flush=True)
            shutil.rmtree(chain.out.parent)

    def refusals(self, reference):
        """No room, no rights, and two at once: a clear error, and the checkpoint as it was."""
        chain = Chain(self.new_folder())
        try:
            check(chain.end(Fault("", "batch", 3 * STEPS + 1, "after")) == KILLED, "Not killed")
            before = chain.model.read_bytes()
            for phase, limits in (
                ("no room", {"room": len(before) // 2}),
                ("no rights", {"rights": False}),
            ):
                chain.run_path.chmod(0o755 if "room" in limits else 0o555)
                self.injected[phase] += 1
                self.refuse(chain, before, phase, limits)
            chain.run_path.chmod(0o755)
            self.injected["a second training"] += 1
            first = chain.start(Fault("", "batch", 1, "before", kind="hold"))
            while not Path(f"{chain.progress}.held").exists():
                check(first.is_alive(), "The first training ended")
                time.sleep(0.1)
            self.refuse(chain, before, "a second training", {})
            first.kill()
            first.join()
            check(chain.end() == 0, f"It cannot be resumed, see {chain.log}")
            chain.check_result(reference)
        except Lost as loss:
            self.report(["a second training"], f"{chain.out}: {loss}")
        else:
            shutil.rmtree(chain.out.parent)

    def refuse(self, chain, before, phase, limits):
        code = chain.end(**limits)
        said = (Path(f"{chain.log}.errors").read_text().splitlines() or [""])[-1]
        try:
            check(code == 2 and said.startswith("Error: "), f"{phase}: code {code}, {said!r}")
            check(chain.model.read_bytes() == before, f"{phase}: the checkpoint changed")
        except Lost as loss:
            self.report([phase], f"{chain.out}: {loss}")

    def report(self, phases, complaint):
        self.lost.update(phases)
        print("LOST", complaint, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    started = time.monotonic()
    # A core file of TensorFlow is large.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    processes.set_forkserver_preload(["tf4dvar.paper.tables", "tf4dvar.cli.app"])
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    torture = Torture(folder, settings.seed, settings.kills, started + 60 * settings.minutes)
    kinds = [{}, {"table": True}, {"diverges": True}]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        references = list(pool.map(lambda kind: whole(torture.new_folder(), **kind), kinds))
        futures = [
            pool.submit(torture.chain, references[i], **kinds[i])
            for i in itertools.islice(itertools.cycle((0, 1, 0, 2)), settings.kills)
        ]
        futures.append(pool.submit(torture.refusals, references[0]))
        for future in futures:
            future.result()
    print(f"{'phase':45} injected survived lost")
    for phase, injected in torture.injected.items():
        lost = torture.lost[phase]
        print(f"{phase:45} {injected:8} {injected - lost:8} {lost:4}")
    injected, lost = sum(torture.injected.values()), sum(torture.lost.values())
    print(f"{'all':45} {injected:8} {injected - lost:8} {lost:4}")
    print(f"{time.monotonic() - started:.0f} s, seed {settings.seed}")
    if lost:
        print(f"See {folder}.")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
