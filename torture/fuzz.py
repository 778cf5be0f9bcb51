"""Damaged and hostile files for every reader: a clear error or a right answer, nothing else.

python torture/fuzz.py [--cases 2000] [--minutes 10] [--seed 0]

The readers run in a child process, which may crash or hang without harm; an audit hook there
notices commands, connections and files opened elsewhere. The case of a number is the same in
every run with the seed. The exit code is 1 if a case was neither an answer nor a clear error.
"""

import argparse
import inspect
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

# Seconds after which a case hangs, many for a crowded machine; the first of a child waits for
# TensorFlow too.
PATIENCE = 120.0
START = 240.0
# Bytes a child may take.
MEMORY = 8 * 2**30
ANSWERS = ("right answer", "other content", "clear error")
FAULTS = ("unclear error", "wrong answer", "executed", "crash", "hang")
# How often each kind of file comes.
SHARES = {
    "bytes of windows": 7,
    "hostile windows": 3,
    "bytes of a model": 4,
    "hostile models": 3,
    "hostile equations": 3,
    "cards": 4,
    "run directories": 5,
    "exports": 4,
    "hostile exports": 2,
}
KINDS = [kind for kind, share in SHARES.items() for _ in range(share)]
FORBIDDEN = (
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.spawn"),
    *("subprocess.Popen", "socket.connect", "socket.getaddrinfo", "pickle.find_class"),
    *("urllib.Request", "webbrowser.open"),
)


class Executed(BaseException):
    """A file made its reader do something. No `Exception`: nothing may swallow it."""


def run_case(readers, good, folder, seed, number):
    """The kind of a case, its outcome and what more there is to say."""
    kind = KINDS[number % len(KINDS)]
    reader = readers.READERS[kind]
    rng = np.random.default_rng([seed, number])
    detail = ""
    try:
        if inspect.isgeneratorfunction(reader):
            said = []
            turn = number // len(KINDS) * SHARES[kind] + number % len(KINDS) - KINDS.index(kind)
            for word in reader(good, folder, rng, turn):
                said.append(word)
                detail = said[0]
            answer = said[1]
        else:
            answer = reader(good, folder, rng)
    except readers.InputError as error:
        lines = str(error).splitlines()
        if len(lines) == 1 and len(lines[0]) < 2000:
            return kind, "clear error", f"{detail}: {lines[0]}"
        return kind, "unclear error", f"{detail}: {len(lines)} lines, {len(str(error))} characters"
    except Executed as error:
        return kind, "executed", f"{detail}: {error}"
    except BaseException as error:
        return kind, "unclear error", f"{detail}: {type(error).__name__}: {error}"[:500]
    outcomes = {readers.RIGHT: "right answer", readers.OTHER: "other content"}
    return kind, outcomes.get(answer, "wrong answer"), f"{detail}: {answer}"


def child(folder: Path, seed: int):
    """Read numbers of cases, write their outcomes."""
    # What the libraries print goes elsewhere.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import readers

    good = readers.Good(Path(tempfile.mkdtemp(dir=folder)))
    watched = []

    def watch(event, arguments):
        if watched and event in FORBIDDEN:
            raise Executed(f"{event}{arguments!r}"[:200])

    sys.addaudithook(watch)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for line in sys.stdin:
        number = int(line)
        here = Path(tempfile.mkdtemp(dir=folder))
        watched.append(number)
        result = run_case(readers, good, here, seed, number)
        watched.clear()
        if any((here.parent / name).exists() for name in ("evil", "mark")) or any(
            here.rglob("mark")
        ):
            result = (result[0], "executed", result[2])
        shutil.rmtree(here)
        print(json.dumps([number, *result]), file=answers, flush=True)


class Child:
    """A child process, one case at a time."""

    def __init__(self, folder: Path, seed: int):
        self.log = folder / "child.log"
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--child", str(folder), "--seed", str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            bufsize=0,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.patience = START

    def answer(self, number: int):
        """The kind, outcome and detail of a case; None for the kind if there is no answer."""
        self.process.stdin.write(b"%d\n" % number)
        ready, _, _ = select.select([self.process.stdout], [], [], self.patience)
        self.patience = PATIENCE
        line = self.process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)[1:]
        self.process.kill()
        status = self.process.wait()
        tail = self.log.read_text(errors="replace")[-300:]
        return [None, "crash" if ready else "hang", f"status {status}: {tail}"]

    def end(self):
        """Let it go."""
        self.process.stdin.close()
        self.process.wait(PATIENCE)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="Number of the first case.")
    parser.add_argument("--verbose", action="store_true", help="Tell what became of every case.")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.child:
        child(settings.child, settings.seed)
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    started = time.monotonic()
    outcomes: dict[str, Counter] = {}
    faults, done, reader = [], 0, None
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number in range(settings.first, settings.first + settings.cases):
            if time.monotonic() > started + 60 * settings.minutes:
                break
            reader = reader or Child(Path(folder), settings.seed)
            kind, outcome, detail = reader.answer(number)
            if kind is None:
                kind, reader = KINDS[number % len(KINDS)], None
            outcomes.setdefault(kind, Counter())[outcome] += 1
            done += 1
            if outcome in FAULTS:
                faults.append((number, kind, outcome, detail))
            if outcome in FAULTS or settings.verbose:
                print(f"case {number}, {kind}: {outcome}: {detail}", flush=True)
        if reader:
            reader.end()
    total = sum(outcomes.values(), Counter())
    print(f"{'file':20} {'cases':>6}" + "".join(f" {name:>14}" for name in (*ANSWERS, *FAULTS)))
    for kind, counts in [*outcomes.items(), ("all", total)]:
        cells = "".join(f" {counts[name]:14}" for name in (*ANSWERS, *FAULTS))
        print(f"{kind:20} {counts.total():6}{cells}")
    print(f"{time.monotonic() - started:.0f} s, seed {settings.seed}")
    if done < settings.cases:
        print(f"{settings.cases - done} cases were left out: the time was up.")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
