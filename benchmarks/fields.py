"""Maps of a twin experiment: scores of methods on simulated altimeter tracks.

python benchmarks/fields.py [--methods oi:covariance=gaussian,oi] [--plan nadirs] [--seed 1]

Quasi-geostrophic turbulence in a periodic box; the first and last days of a series, which lack
observations before or after, are not scored. A method is a name of `FIELD_METHODS` and its
settings: `oi:covariance=matern:neighbours=200`.
"""

import argparse
import ast

import numpy as np

from tf4dvar.classical.fields import FIELD_METHODS, FieldProblem
from tf4dvar.data.fields import simulate_fields
from tf4dvar.data.grid import Grid
from tf4dvar.evaluation.field_scores import field_scores
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.instruments import PLANS

DAYS, MARGIN = 64, 11


def method_of(text):
    """A method by its name and settings."""
    name, *settings = text.split(":")
    return FIELD_METHODS[name](**{k: value_of(v) for k, v in (s.split("=") for s in settings)})


def value_of(text):
    try:
        return ast.literal_eval(text)
    except ValueError:
        return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", default="oi:covariance=gaussian,oi,oi:covariance=states")
    parser.add_argument("--plan", choices=PLANS, default="nadirs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--states", type=int, nargs=2, default=(8, 720), help="members and days")
    arguments = parser.parse_args()
    system = QuasiGeostrophic()
    data = simulate_fields(
        system, PLANS[arguments.plan], DAYS, arguments.members, seed=arguments.seed
    )
    states = None
    if "=states" in arguments.methods:
        members, days = arguments.states
        simulated = simulate_fields(system, (), days, members, seed=arguments.seed + 1000)
        states = simulated["truth"].values.astype("float64")
    period = system.length / 1e3
    observations = data["observations"].values.astype("float64")
    problem = FieldProblem(
        observations,
        np.where(np.isfinite(observations), data["noise_variance"].values, 1.0),
        np.arange(float(DAYS)),
        Grid(data["y"].values, data["x"].values, periods=(period, period)),
        states,
    )
    truth = data["truth"].values.astype("float64")
    scored = np.s_[MARGIN:-MARGIN]
    print(
        "| method | member | mu | sigma | lambda_x, km | lambda_t, d | error / stated | s a map |"
    )
    print("|---" * 8 + "|")
    for name in arguments.methods.split(","):
        analysis = method_of(name).analyse(problem)
        for number, (maps, true) in enumerate(zip(analysis.states, truth, strict=True)):
            scores = field_scores(maps[scored], true[scored], 1.0, period / system.points)
            row = [f"{value:.3f}" for value in scores[:2]]
            row += ["" if value is None else f"{value:.0f}" for value in scores[2:4]]
            ratio = ""
            if analysis.spread is not None:
                ratio = f"{((maps - true) / analysis.spread[number])[scored].std():.2f}"
            cells = [name, number, *row, ratio, f"{analysis.seconds_per_map:.2f}"]
            print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
