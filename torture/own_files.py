"""Data in many forms through the commands: the same states, or a clear refusal.

python torture/own_files.py [--cases 200] [--minutes 10] [--seed 0]

The exit code is 1 if any file gave other numbers, or an error that is none of one line.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import variants
import xarray as xr
from typer.testing import CliRunner

# A file of changes that do not go together is none.
EXPECTED = {"the same", "refused", "no such file"}


def main() -> int:
    """Run the cases and tell how they ended."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    from tf4dvar.runtime import load_tensorflow

    load_tensorflow()
    logging.getLogger("tf4dvar").setLevel(logging.ERROR)
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + 60 * given.minutes
    with TemporaryDirectory() as folder:
        answers = _answers(Path(folder))
        for case in range(given.cases):
            if time.monotonic() > ends:
                break
            outcome = _outcome(Path(folder), answers, given.seed, case)
            outcomes[outcome] += 1
            if outcome not in EXPECTED:
                print(f"case {case}: {outcome}")
    print(", ".join(f"{name} {count}" for name, count in sorted(outcomes.items())))
    return int(set(outcomes) - EXPECTED != set())


def _answers(folder):
    """Of every kind of data a model's file, and the states that it gives."""
    answers = {}
    for kind, data in variants.KINDS.items():
        model = variants.model_of(kind)
        model.save(folder / f"{kind}.keras")
        answers[kind] = folder / f"{kind}.keras", model.reconstruct(data())
    return answers


def _outcome(folder, answers, seed, case):
    """How a random file ended: after changes of both sorts, in any format."""
    from tf4dvar.cli.app import app

    rng = np.random.default_rng([seed, case])
    kind, form = rng.choice([*variants.KINDS]), rng.choice([*variants.FORMATS])
    names = [*rng.choice([*variants.same_of(kind)], rng.integers(0, 4), replace=False)]
    refused = rng.random() < 0.4
    if refused:
        names.append(rng.choice([*variants.refused_of(kind)]))
    if {*names} >= variants.APART:
        return "no such file"
    file, out = folder / f"{case}.{form}", folder / f"{case}.out.nc"
    try:
        variants.FORMATS[form](variants.changed(kind, names), file)
    except (KeyError, ValueError, TypeError):  # two changes that do not go together
        return "no such file"
    model, expected = answers[kind]
    arguments = ["reconstruct", str(model), "--data", str(file), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    what = f"{kind}, {'; '.join(names) or 'as it is'}, {form}"
    if result.exit_code == 2 and result.stderr.startswith("Error: "):
        return "refused" if refused else f"{what}: {result.stderr}"
    if result.exit_code:
        return f"{what}: exit code {result.exit_code}, {result.exception!r}"
    departure = variants.departure(xr.load_dataset(out), expected)
    if refused:
        return f"{what}: not refused, {departure:.3g} deviations away"
    return "the same" if departure < variants.ROUNDING else f"{what}: {departure:.3g} away"


if __name__ == "__main__":
    sys.exit(main())
