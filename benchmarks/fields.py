"""Maps of a twin experiment: scores of methods and networks on what simulated satellites see.

python benchmarks/fields.py [--methods oi,4dvar-qg:layers=1,qg-nadirs:minutes=60,peer:minutes=60]
    [--plan nadirs|swath|clouds]

Quasi-geostrophic turbulence in a periodic box: heights along tracks, or, with `--plan clouds`,
temperatures below clouds. The first and last days of a series, which lack observations before or
after, are not scored. A method is a name of `FIELD_METHODS` and its
settings: `oi:covariance=matern:neighbours=200`. A network is an experiment, trained here for so
many minutes of the clock, or `peer`, see `field_peer.py`, which needs the extra `bench`. A step is
one of these minutes, with all that they are spent on. Each runs in a process of its own, whose
peak memory is printed.
"""

import argparse
import ast
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from worker import peak_memory

from tf4dvar.classical.fields import FIELD_METHODS, FieldAnalysis
from tf4dvar.data import Members
from tf4dvar.data.fields import FIELDS, simulate_fields
from tf4dvar.evaluation.field_comparison import field_problem_of, filled_by
from tf4dvar.evaluation.field_scores import field_scores
from tf4dvar.systems import random_stream
from tf4dvar.systems.instruments import PLANS

DAYS, MARGIN = 64, 11
# The experiment of the published design, which says of which system it is.
PUBLISHED = {
    "nadirs": "qg-nadirs-paper",
    "swath": "qg-swath-paper",
    "clouds": "tracer-clouds-paper",
}


class Run(NamedTuple):
    """Maps, seconds of a step of the training, and the peak memory."""

    analysis: FieldAnalysis
    step_s: float | None
    peak_gb: float


def run(name, data, states, plan):
    """By a method or a network."""
    label, settings = named(name)
    members, step_s = Members.open(data.drop_vars("truth")), None
    if label in FIELD_METHODS:
        analysis = method_of(name).analyse(field_problem_of(members, states=states))
    elif label == "peer":
        analysis, step_s = by_peer(members, plan, **settings)
    else:
        analysis, step_s = by_network(label, members, **settings)
    return Run(analysis, step_s, peak_memory())


def by_network(name, members, minutes):
    """One of ours, and the seconds of a step."""
    from tf4dvar.experiments import experiment_by_name
    from tf4dvar.training import train

    with tempfile.TemporaryDirectory() as directory:
        model = train(experiment_by_name(name), f"{directory}/run", minutes=minutes, verbose=0)
    step_s = 60 * minutes / int(model.optimizer.iterations)
    return filled_by(model, members, lambda *_: None), step_s


def by_peer(members, plan, minutes):
    """The peer on the windows of our experiment of the same design, and the seconds of a step."""
    from field_peer import train

    from tf4dvar.experiments import experiment_by_name
    from tf4dvar.training.simulated_fields import SimulatedFields

    experiment = experiment_by_name(PUBLISHED[plan])
    windows = SimulatedFields(experiment, {"windows": experiment.windows, "seed": 0})
    rng = random_stream("windows of the peer", 0)

    def drawn():
        return tuple(each[..., 0].astype("float32") for each in windows.drawn(rng))

    trained = train(drawn, experiment.batch_size, minutes)
    started = time.perf_counter()
    maps = np.stack([trained.maps(each) for each in members.observations[..., 0]])
    seconds = (time.perf_counter() - started) / (maps.shape[0] * maps.shape[1])
    return FieldAnalysis(maps, seconds_per_map=seconds), trained.step_s


def method_of(text):
    """A method by its name and settings."""
    name, settings = named(text)
    return FIELD_METHODS[name](**settings)


def named(text):
    """A name and settings."""
    name, *settings = text.split(":")
    return name, {k: value_of(v) for k, v in (each.split("=") for each in settings)}


def value_of(text):
    try:
        return ast.literal_eval(text)
    except ValueError:
        return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", default="oi:covariance=gaussian,oi,oi:covariance=states")
    parser.add_argument("--plan", choices=PUBLISHED, default="nadirs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--states", type=int, nargs=2, default=(8, 720), help="members and days")
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(arguments.threads)
    from tf4dvar.experiments import experiment_by_name

    system = FIELDS[experiment_by_name(PUBLISHED[arguments.plan]).system]()
    plan = PLANS[arguments.plan]
    data = simulate_fields(system, plan, DAYS, arguments.members, seed=arguments.seed)
    truth, scored = data["truth"].values.astype("float64"), np.s_[MARGIN:-MARGIN]
    hidden = np.isnan(data["observations"].values)
    spacing = 1e-3 * system.length / system.points
    states = None
    if "=states" in arguments.methods:
        members, days = arguments.states
        simulated = simulate_fields(system, (), days, members, seed=arguments.seed + 1000)
        states = simulated["truth"].values.astype("float64")
    print(
        "| method | member | mu | sigma | lambda_x, km | lambda_t, d | RMSE of the unobserved | "
        "error / stated | s a map | s a step | memory, GB |"
    )
    print("|---" * 11 + "|")
    for name in arguments.methods.split(","):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            done = process.submit(run, name, data, states, arguments.plan).result()
        for number, (maps, true) in enumerate(zip(done.analysis.states, truth, strict=True)):
            scores = field_scores(maps[scored], true[scored], 1.0, spacing)
            row = [f"{value:.3f}" for value in scores[:2]]
            row += ["" if value is None else f"{value:.0f}" for value in scores[2:4]]
            errors = (maps - true)[scored][hidden[number][scored]]
            row.append(f"{np.sqrt(np.square(errors).mean()):.4f}")
            ratio = ""
            if done.analysis.spread is not None:
                scaled = (maps - true) / done.analysis.spread[number]
                ratio = f"{scaled[scored].std():.2f}"
            step = "" if done.step_s is None else f"{done.step_s:.2f}"
            speed = f"{done.analysis.seconds_per_map:.3f}"
            cells = [name, number, *row, ratio, speed, step, f"{done.peak_gb:.1f}"]
            print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
