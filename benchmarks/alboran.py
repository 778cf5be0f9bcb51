"""Sea-surface temperature under pasted clouds: errors of maps on pixels that were withheld.

python benchmarks/alboran.py PATH [--methods oi,dineof,pydineof,fill:minutes=20] [--draws 0,1,2]

The file is DINEOF's example, ten days of the Alboran Sea: `SST` [time, lat, lon] with gaps, and
`mask`, 1 = sea. On each of its five clearest days the clouds of another day are pasted, drawn by
chance; what they cover is withheld from the method. A stated error is one of what was withheld, of
the field and of the observation. `fill` is that of the command, which chooses without what is
withheld here; its weights are printed. `pydineof` (github.com/acoque/pyDINEOF, of the extra
`bench`) is a peer, for positive variables; it is given as many EOFs as it takes of so few days.
"""

import argparse
import contextlib
import io
import time
from pathlib import Path

import numpy as np
import xarray as xr
from fields import method_of

from tf4dvar.classical.fields import FieldAnalysis, FieldProblem
from tf4dvar.cli.progress import progress_bar
from tf4dvar.data.grid import Grid
from tf4dvar.filling import Network, candidates_for, fill

CLEAREST = 5


def pasted(seen, sea, rng):
    """What the clouds of other days cover of the clearest days, [time, y, x]."""
    covered = np.zeros_like(seen)
    for day in np.argsort(-seen[:, sea].mean(axis=1), kind="stable")[:CLEAREST]:
        other = rng.choice(np.delete(np.arange(len(seen)), day))
        covered[day] = seen[day] & ~seen[other]
    return covered


def by_pydineof(problem):
    """By the peer, and the mean where nothing was ever seen, as ours; without a deviation."""
    from pydineof import run_2D

    started = time.perf_counter()
    values = problem.observations[0]
    seen = np.isfinite(values).any(axis=0)
    coordinates = {"time": problem.times, "y": range(seen.shape[0]), "x": range(seen.shape[1])}
    maps = xr.DataArray(values, coordinates, dims=("time", "y", "x"))
    eofs = min(5, len(values) - 7)
    with contextlib.redirect_stdout(io.StringIO()):
        filled = run_2D(maps, maps[0].copy(data=seen), nev=eofs, ncv=eofs + 6, seed=0)
    states = filled.transpose("time", "y", "x").values
    states = np.where(seen, states, np.nanmean(values))
    seconds = (time.perf_counter() - started) / len(values)
    return FieldAnalysis(states[None], None, seconds_per_map=seconds)


def analysed(name, problem):
    """By a method of fields, by the peer, or by `fill`."""
    if name == "pydineof":
        return by_pydineof(problem)
    if not name.startswith("fill"):
        return method_of(name).analyse(problem)
    started, minutes = time.perf_counter(), float(name.partition(":minutes=")[2] or 20)
    filling = fill(problem, candidates_for(), progress_bar, network=Network(minutes))
    seconds = (time.perf_counter() - started) / len(problem.times)
    print(filling.weights, {name: round(of["rmse"], 3) for name, of in filling.scores.items()})
    return FieldAnalysis(filling.states, filling.spread, seconds_per_map=seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--methods", default="oi")
    parser.add_argument("--draws", default="0,1,2")
    parser.add_argument("--noise", type=float, default=0.1, help="K, standard deviation")
    arguments = parser.parse_args()
    with xr.open_dataset(arguments.path) as file:
        sea = file["mask"].values == 1
        values = np.where(sea, file["SST"].values, np.nan).astype("float64")
        times = (file["time"].values - file["time"].values[0]) / np.timedelta64(1, "D")
        coordinates = (file[name].values.astype("float64") for name in ("lat", "lon"))
        grid = Grid(*coordinates, spherical=True, land=~sea)
    print("| method | draw | withheld | RMSE, K | bias, K | error / stated | in 90 % | s a map |")
    print("|---" * 8 + "|")
    for name in arguments.methods.split(","):
        for draw in map(int, arguments.draws.split(",")):
            withheld = pasted(np.isfinite(values), sea, np.random.default_rng(draw))
            given = np.where(withheld, np.nan, values)[None]
            problem = FieldProblem(given, arguments.noise**2, times, grid)
            analysis = analysed(name, problem)
            errors = (analysis.states[0] - values)[withheld]
            row = [f"{np.sqrt(np.square(errors).mean()):.3f}", f"{errors.mean():.3f}", "", ""]
            if analysis.spread is not None:
                scaled = errors / np.hypot(analysis.spread[0][withheld], arguments.noise)
                row[2:] = f"{scaled.std():.2f}", f"{(np.abs(scaled) < 1.645).mean():.3f}"
            cells = [name, draw, len(errors), *row, f"{analysis.seconds_per_map:.1f}"]
            print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
