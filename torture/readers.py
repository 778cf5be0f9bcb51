"""What is fuzzed: for each kind of file good ones, and what reading a damaged one comes to.

A reader gives "right" for what was written, "other" for something that the damaged file may well
say (where no checksum can tell), and raises `InputError` for the rest. All else is a fault.
"""

import json
import shutil
from pathlib import Path

import hostile
import hostile_equations
import hostile_exports as hostile_exports_of
import numpy as np
import tensorflow as tf
from damage import BYTES, TEXT, change_json
from typer.testing import CliRunner

from tf4dvar import export
from tf4dvar.cli.app import app
from tf4dvar.data import Signature, protocol_plan, read_windows, simulate_dataset, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.evaluation.comparison import problem_of
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.evaluation.scores import evaluate
from tf4dvar.experiments import experiment_by_name
from tf4dvar.export.card import description_of
from tf4dvar.layers import GENN, GradientSolver, LSTMCell, RK4Flow, ode_layer
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.serving.directory import check_directory
from tf4dvar.serving.versions import Versions
from tf4dvar.systems import Lorenz63
from tf4dvar.systems.symbolic import Equations
from tf4dvar.training.run_directory import RunDirectory

RIGHT, OTHER = "right", "other"
# Iterations.
LONGEST = 100


class Good:
    """The good files, in a folder, and what they hold."""

    def __init__(self, folder: Path):
        self.dataset = simulate_dataset(Lorenz63(), protocol_plan("l63", "T"), 3, 20, seed=1)
        write_dataset(self.dataset, folder / "windows.nc")
        self.windows = (folder / "windows.nc").read_bytes()
        self.observations = self.dataset["observations"].values.astype("float32")
        self.model = FourDVarNet(GENN(units=2), GradientSolver(LSTMCell(units=2), iterations=2))
        self.model.adapt(self.dataset["observations"].values)
        self.model.signature = Signature.of(self.dataset["observations"], 2.0)
        self.model.compile("adam", jit_compile=False)
        self.states = self.model(self.observations).numpy()
        self.model.save(folder / "model.keras")
        self.archive = (folder / "model.keras").read_bytes()
        equations = Equations.from_config(hostile_equations.GOOD["an ODE"])
        flow = FourDVarNet(
            RK4Flow(ode_layer(equations, a=1.0), 0.01), GradientSolver(LSTMCell(units=2), 2)
        )
        flow.build((None, None, 2))
        flow.save(folder / "flow.keras")
        self.flow = (folder / "flow.keras").read_bytes()
        self.exported = folder / "exported"
        self.run = folder / "run"
        self.run.mkdir()
        options = {"experiment": "l63-sup-genn-lstm", "protocol": "C", "epochs": 2, "seed": 0}
        options |= {"minutes": None, "iterations": None, "windows": 32}
        self.config = json.dumps({"options": options, "versions": {}}, indent=2).encode()
        self.log = b"epoch,elapsed,loss\n" + b"".join(b"%d,%d.5,0.1\n" % (i, i) for i in range(5))
        scores = {"r_score": 0.5, "r_score_se": 0.1, "windows": 8}
        description = {"name": "small", "summary": "a model", "system": "l63", "scores": scores}
        export.save(self.model, self.exported, description=description)
        self.card = (self.exported / "card.json").read_bytes()


def _choose(rng, choices):
    return choices[rng.integers(len(choices))]


def bytes_of_windows(good, folder, rng):
    """A file of windows with other bytes: a checksum must tell."""
    path = folder / "windows.nc"
    path.write_bytes(_choose(rng, BYTES)(good.windows, rng))
    found = read_windows(path)
    if found.identical(good.dataset):
        return RIGHT
    # Labels of any length have no checksum in this format.
    labels = {"component": good.dataset["component"]}
    same = found.sizes == good.dataset.sizes and found.assign_coords(labels).identical(good.dataset)
    return OTHER if same else "the windows are others"


def hostile_windows(good, folder, rng, turn):
    """A well-formed file of other windows, all the way to scores and tasks."""
    names = list(hostile.NETCDF)
    name = names[turn % len(names)]
    path = folder / "windows.nc"
    path.write_bytes(good.windows)
    hostile.NETCDF[name](path)
    yield name
    found = read_windows(path)
    if name == "values in another file":
        yield "the bytes of another file"
        return
    refused = []
    uses = (
        *(lambda: evaluate(good.model, found), lambda: problem_of(found)),
        lambda: write_dataset(found, folder / "again.nc"),
    )
    for use in uses:
        try:
            use()
        except InputError as error:
            refused.append(error)
    if refused:
        raise refused[0]
    yield OTHER


def bytes_of_a_model(good, folder, rng):
    """A `.keras` file with other bytes: a checksum must tell."""
    path = folder / "model.keras"
    path.write_bytes(_choose(rng, BYTES)(good.archive, rng))
    found = load_model(path)
    same = np.array_equal(found(good.observations), good.states)
    return RIGHT if same else "the model is another"


def hostile_models(good, folder, rng, turn):
    """A well-formed archive of a model that is not one, or that would do something."""
    path = folder / "model.keras"
    payloads = hostile.payloads(folder)
    places = ("model", "prior", "solver", "update", "first_guess", "observation", "iterations")
    cases = [
        *((f"{name} as {place}", payloads[name], place) for name in payloads for place in places),
        *((name, None, None) for name in hostile.ARCHIVES),
    ]
    name, payload, place = cases[turn % len(cases)]
    if turn >= len(cases):
        name = "a changed configuration"
        config = change_json(hostile.members(good.archive)["config.json"], rng)
        content = hostile.archive(good.archive, config=config)
    elif payload is None:
        content = hostile.ARCHIVES[name](good.archive, path)
    else:
        content = hostile.with_payload(good.archive, payload, place)
    yield name
    path.write_bytes(content)
    found = load_model(path)
    if name == "weights in another file":
        yield "the bytes of another file"
        return
    # What it asks for may take long, and is done.
    if found.iterations <= LONGEST:
        reconstruct(found, good.observations)
    # What was asked for was no model: it may only be passed over.
    if payload is not None and name != "a changed configuration" and place != "iterations":
        yield f"{type(found).__name__} in place of an error"
    yield OTHER


def hostile_equations_of_models(good, folder, rng, turn):
    """A model whose right-hand side has something ill meant in it."""
    cases = list(hostile_equations.equations(folder / "mark"))
    # Some of each kind in a short run, too.
    name, equations = cases[turn * 617 % len(cases)]
    config = json.loads(hostile.members(good.flow)["config.json"])
    config["config"]["prior"]["config"]["ode"]["config"]["tendency"] = equations
    path = folder / "model.keras"
    path.write_bytes(hostile.archive(good.flow, config=json.dumps(config).encode()))
    yield name
    reconstruct(load_model(path), good.observations[..., :2])
    yield OTHER


def cards(good, folder, rng):
    """The card of a published model, as `tf4dvar models` reads it."""
    path = folder / "models" / "small" / "card.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(_choose(rng, TEXT)(good.card, rng))
    result = CliRunner().invoke(app, ["models", str(folder / "models")])
    if result.exit_code == 0:
        return OTHER
    if result.exit_code == 2 and result.stderr.startswith("Error: "):
        raise InputError(result.stderr.removeprefix("Error: ").rstrip("\n"))
    raise result.exception


def runs(good, folder, rng):
    """The records of a run directory, as resuming, publishing and exporting read them."""
    run = RunDirectory(folder / "run")
    run.path.mkdir()
    damage_log = rng.random() < 0.5
    run.config.write_bytes(good.config if damage_log else _choose(rng, TEXT)(good.config, rng))
    run.log.write_bytes(_choose(rng, TEXT[:-4])(good.log, rng) if damage_log else good.log)
    description_of(run.path)
    experiment_by_name(run.options()["experiment"])
    for row in run.history():
        float(row["elapsed"]), int(row["epoch"])
    return OTHER


def exports(good, folder, rng):
    """A directory of exports with a damaged file, as the server reads it."""
    directory = folder / "exported"
    shutil.copytree(good.exported, directory)
    files = sorted(file for file in directory.rglob("*") if file.is_file() and file.stat().st_size)
    file = _choose(rng, files)
    damages = TEXT if file.suffix == ".json" else BYTES
    file.write_bytes(_choose(rng, damages)(file.read_bytes(), rng))
    versions = Versions(directory)
    versions.refresh()
    for state in versions.status(None)["model_version_status"]:
        if state["state"] != "AVAILABLE":
            raise InputError(state["status"]["error_message"])
    _, version = versions.get(None)
    version.metadata()
    answer = version(good.observations, None)["state"]
    version(good.observations[:1], version.iterations + 1)
    same = np.allclose(answer, good.states, atol=1e-4)
    return RIGHT if same else "the model is another"


def hostile_exports(good, folder, rng, turn):
    """Something else than a file in one of three versions: it is refused, the others are served."""
    directory = folder / "exported"
    for number in "123":
        shutil.copytree(good.exported / "1", directory / number)
    places = (hostile_exports_of.GRAPH, hostile_exports_of.CARD, "variables", "added")
    cases = [(place, name) for place in places for name in hostile_exports_of.OBJECTS]
    place, name = cases[turn % len(cases)]
    yield f"{name} for {place}"
    hostile_exports_of.spoilt(directory / "2", place, name)
    check_directory(directory, force=False)
    versions = Versions(directory)
    for _ in range(2):
        versions.refresh()
    states = versions.status(None)["model_version_status"]
    if [state["state"] for state in states] != ["AVAILABLE", "END", "AVAILABLE"]:
        # An empty directory is no file that the card does not list.
        yield RIGHT if (place, name) == ("added", "a directory") else f"the states are {states}"
        return
    raise InputError(states[1]["status"]["error_message"])


READERS = {
    "bytes of windows": bytes_of_windows,
    "hostile windows": hostile_windows,
    "bytes of a model": bytes_of_a_model,
    "hostile models": hostile_models,
    "hostile equations": hostile_equations_of_models,
    "cards": cards,
    "run directories": runs,
    "exports": exports,
    "hostile exports": hostile_exports,
}

tf.get_logger().setLevel("ERROR")
