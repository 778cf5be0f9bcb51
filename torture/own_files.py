"""One series in many forms through the commands: the same states, or a clear refusal.

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
        model, expected = _model(Path(folder))
        for case in range(given.cases):
            if time.monotonic() > ends:
                break
            outcome = _outcome(Path(folder), model, expected, given.seed, case)
            outcomes[outcome] += 1
            if outcome not in EXPECTED:
                print(f"case {case}: {outcome}")
    print(", ".join(f"{name} {count}" for name, count in sorted(outcomes.items())))
    return int(set(outcomes) - EXPECTED != set())


def _model(folder):
    import keras

    from tf4dvar.layers import FixedStepCell, GradientSolver
    from tf4dvar.models import FourDVarNet

    prior = keras.layers.Conv1D(2, 5, padding="same", activation="tanh")
    model = FourDVarNet(prior, GradientSolver(FixedStepCell(0.3), iterations=3))
    model.adapt(variants.series(), window=24)
    model.save(folder / "model.keras")
    return folder / "model.keras", model.reconstruct(variants.series())


def _outcome(folder, model, expected, seed, case):
    """How a random file ended: after changes of both kinds, in any format."""
    from tf4dvar.cli.app import app

    rng = np.random.default_rng([seed, case])
    names = [*rng.choice([*variants.SAME], rng.integers(0, 4), replace=False)]
    if rng.random() < 0.4:
        names.append(rng.choice([*variants.REFUSED]))
    if set(names) >= variants.APART:
        return "no such file"
    kind = rng.choice([*variants.FORMATS])
    file, out = folder / f"{case}.{kind}", folder / f"{case}.out.nc"
    try:
        variants.FORMATS[kind](variants.changed(variants.series(), names), file)
    except (KeyError, ValueError, TypeError):  # two changes that do not go together
        return "no such file"
    arguments = ["reconstruct", str(model), "--data", str(file), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    what = f"{'; '.join(names) or 'as it is'}, {kind}"
    if result.exit_code == 2 and result.stderr.startswith("Error: "):
        return "refused" if set(names) & set(variants.REFUSED) else f"{what}: {result.stderr}"
    if result.exit_code:
        return f"{what}: exit code {result.exit_code}, {result.exception!r}"
    departure = variants.departure(xr.load_dataset(out), expected)
    if set(names) & set(variants.REFUSED):
        return f"{what}: not refused, {departure:.3g} deviations away"
    return "the same" if departure < variants.ROUNDING else f"{what}: {departure:.3g} away"


if __name__ == "__main__":
    sys.exit(main())
