"""One's own dynamics and layers in the commands, and data of no known system."""

import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from tests.cli.test_app import fail, succeed
from tf4dvar import own_code
from tf4dvar.classical import EnKS
from tf4dvar.data import plan_of, read_windows, simulate_dataset, write_dataset
from tf4dvar.evaluation.comparison import problem_of
from tf4dvar.layers import GradientSolver, LSTMCell
from tf4dvar.models import FourDVarNet
from tf4dvar.own_code import import_own
from tf4dvar.systems import Lorenz63

MODULE = '''
import keras
import numpy as np
from tf4dvar.systems import System


def predator_prey(state, growth, decline):
    prey, predator = state[..., 0], state[..., 1]
    return [growth * prey - prey * predator, prey * predator - decline * predator]


@keras.saving.register_keras_serializable(package="own")
def driven(state, push):
    return [push - state[..., 0], state[..., 0] - state[..., 1]]


def begin(count, rng):
    return rng.uniform(0.5, 1.5, (count, 2))


hares = System(predator_prey, components=("prey", "predator"), time_step=0.1, initial=begin,
               growth=1.0, decline=0.8)
driven_hares = System(driven, components=("prey", "predator"), time_step=0.1, initial=begin,
                      covariates={"push": np.cos})


@keras.saving.register_keras_serializable(package="own")
class Neighbours(keras.layers.Layer):
    """Every state is the mean of its neighbours."""

    def call(self, state):
        return keras.ops.roll(state, 1, axis=1) / 2 + keras.ops.roll(state, -1, axis=1) / 2
'''
DATA = ("--steps", 40, "--windows", 5, "--every", 4, "--noise-variance", 0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the module, as the current one."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_animals.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        patch.setattr(own_code, "IMPORTED", [])
        yield folder
        sys.modules.pop("own_animals", None)


@pytest.fixture(scope="module")
def windows(folder):
    succeed("simulate", "--system", "own_animals:hares", *DATA, "--out", "windows.nc")
    return folder / "windows.nc"


def test_simulate_takes_ones_own_system_and_the_parts_of_a_plan(folder, windows):
    dataset = read_windows(windows)
    assert dataset["component"].values.tolist() == ["prey", "predator"]
    seen = np.arange(40) % 4 == 0
    np.testing.assert_array_equal(
        dataset["observations"].notnull(), np.broadcast_to(seen[:, None], (5, 40, 2))
    )
    system = import_own("own_animals").hares
    same = simulate_dataset(system, plan_of(system, every=4, noise_variance=0.01), 5, 40, seed=1)
    assert same.identical(dataset)
    own = ("simulate", "own_animals.py:hares", "--components", "predator", "--phase", 3)
    succeed(*own, *DATA, "--out", "shifted.nc")
    shifted = read_windows(folder / "shifted.nc")
    seen = np.argwhere(shifted["observations"][0].notnull().values)
    assert seen.tolist() == [[time, 1] for time in range(3, 40, 4)]
    assert shifted["truth"].equals(dataset["truth"])


def test_a_protocol_is_changed_in_parts(folder):
    command = ("simulate", "l63", "--windows", 2, "--steps", 50, "--protocol", "C")
    succeed(*command, "--components", "x,z", "--drawn", 1, "--every", 5, "--out", "parts.nc")
    observations = read_windows(folder / "parts.nc")["observations"]
    plan = json.loads(read_windows(folder / "parts.nc").attrs["plan"])
    assert plan == {
        **{"components": [0, 2], "every": 5, "noise_variance": 2.0, "edge": 10},
        **{"drawn": 1, "shared": False, "phase": 0},
    }
    assert observations.notnull().sum("component").isel(time=slice(10, 40, 5)).values.min() == 1
    assert observations[..., 1].isnull().all()
    for wrong, message in (
        (("--components", "x,w"), "the components x, w; expected some of x, y, z, each once"),
        (("--components", "x,x"), "each once"),
        (("--phase", 8), "--phase 8; expected 0 to 7"),
        (("--drawn", 2), "--drawn 2; expected 1 to 1"),
    ):
        assert message in fail(*command, *wrong, "--out", "wrong.nc")
    assert "give --noise-variance NUMBER" in fail(
        "simulate", "--system", "own_animals:hares", "--out", "wrong.nc"
    )
    assert "expected one" in fail("simulate", "l63", "--system", "l96", "--out", "wrong.nc")
    assert "expected one" in fail("simulate", "--out", "wrong.nc")


@pytest.mark.long
def test_the_classical_methods_take_ones_own_system(folder, windows):
    data = ("--data", windows, "--system", "own_animals:hares")
    succeed("assimilate", "enks", *data, "--members", 40, "--out", "enks.nc")
    system = import_own("own_animals").hares
    problem = problem_of(read_windows(windows), system=system)
    states = EnKS(members=40).analyse(problem).states
    np.testing.assert_array_equal(read_windows(folder / "enks.nc", "state")["state"], states)
    methods = ("--methods", "oi,strong-quasistatic")
    scores = json.loads(succeed("compare", *data, *methods, "--out", "report", "--json"))
    assert scores["strong-quasistatic"]["r_score"] < 0.01
    assert scores["strong-quasistatic"]["fourdvar_score"] < 1e-3
    assert scores["oi"]["ode_score"] < 1e-20


def test_the_files_time_step_is_that_of_the_dynamics(folder, windows):
    """Every second time: the file says so, by its times."""
    dataset = read_windows(windows)
    truth = dataset["truth"].values
    coarse = dataset.isel(time=slice(None, None, 2)).assign_attrs(time_step=0.2)
    system = import_own("own_animals").hares
    problem = problem_of(coarse, system=system)
    assert problem.flow.time_step == problem.system.time_step == pytest.approx(0.2)
    np.testing.assert_allclose(problem.flow(truth[:, ::2])[:, 1:], truth[:, 2::2], atol=1e-4)
    write_dataset(coarse.assign_attrs(time_step=0.1), folder / "coarse.nc")
    message = fail(
        *("assimilate", "strong", "--data", "coarse.nc", "--system", "own_animals:hares"),
        *("--out", "coarse-states.nc"),
    )
    assert "time_step = 0.1 and times of the step 0.2" in message


@pytest.mark.long
def test_forced_dynamics_are_simulated_and_assimilated(folder):
    own = ("--system", "own_animals:driven_hares")
    succeed("simulate", *own, *DATA, "--components", "prey", "--out", "driven.nc")
    dataset = read_windows(folder / "driven.nc")
    assert dataset["covariates"].shape == (5, 40, 1)
    methods = ("--methods", "strong,weak-annealed,enks")
    scores = json.loads(
        succeed("compare", "--data", "driven.nc", *own, *methods, "--out", "forced", "--json")
    )
    for name in ("strong", "weak-annealed", "enks"):
        assert scores[name]["r_score"] < 0.01
        assert scores[name]["ode_score"] < 1e-6
    write_dataset(dataset.drop_vars("covariates"), folder / "still.nc")
    message = fail("assimilate", "enks", "--data", "still.nc", *own, "--out", "no.nc")
    assert "The dynamics depend on push, known in time" in message


@pytest.mark.long
def test_a_series_has_the_forcing_by_its_name(folder):
    """A table with the variable `push`: the dynamics find it there, in every command."""
    own = ("--system", "own_animals:driven_hares")
    succeed("simulate", *own, "--windows", 1, "--steps", 400, *DATA[4:], "--out", "long.nc")
    long = read_windows(folder / "long.nc").isel(window=0)
    names = ("prey", "predator")
    axis = {"time": long["time"]}
    observed = {name: ("time", long["observations"][:, i].values) for i, name in enumerate(names)}
    # In another order than the system's.
    table = xr.Dataset(observed, axis)[["predator", "prey"]].assign(
        push=("time", long["covariates"][:, 0].values)
    )
    table.to_netcdf("table.nc")
    truth = {name: ("time", long["truth"][:, i].values) for i, name in enumerate(names)}
    xr.Dataset(truth, axis).to_netcdf("table-truth.nc")

    noise = ("--noise-variance", 0.01)
    succeed("assimilate", "strong", "--data", "table.nc", *own, *noise, "--out", "forced-strong.nc")
    train = ("train", "--data", "table.nc", "--prior", "flow", *own, "--window", 20)
    succeed(*train, "--epochs", 2, "--iterations", 3, "--out", "runs/forced")
    reconstruct = ("reconstruct", "runs/forced", "--data")
    succeed(*reconstruct, "table.nc", "--out", "forced-learned.nc")
    for name in ("strong", "learned"):
        states = xr.load_dataset(f"forced-{name}.nc")
        assert not {"push", "covariates", "covariate"} & set(states.variables)
        error = max(float(np.square(states[each] - truth[each][1]).mean()) for each in names)
        assert error < {"strong": 0.005, "learned": 0.1}[name]
    data = ("--data", "table.nc", "--truth", "table-truth.nc")
    scores = json.loads(succeed("evaluate", "runs/forced", *data, "--json"))
    assert scores["ode_score"] < 1e-6
    table.drop_vars("push").to_netcdf("calm.nc")
    message = fail(*reconstruct, "calm.nc", "--out", "no.nc")
    assert "the covariate 'push'; expected some of" in message


@pytest.mark.long
def test_data_of_no_system_need_none_where_the_method_does_not(folder):
    plan = plan_of(Lorenz63(), components="xyz", every=3)
    dataset = simulate_dataset(Lorenz63(), plan, 12, 60, seed=4)
    dataset.attrs = {}
    write_dataset(dataset, folder / "nameless.nc")
    data = ("--data", "nameless.nc")
    message = fail("assimilate", "oi", *data, "--out", "nameless-oi.nc")
    assert "or give --noise-variance NUMBER" in message
    data = (*data, "--noise-variance", 2)
    for method in ("oi", "enks"):
        succeed("assimilate", method, *data, "--out", f"nameless-{method}.nc")
        error = read_windows(folder / f"nameless-{method}.nc", "state")["state"] - dataset["truth"]
        # Where there are some, every third step; the observations themselves have 2.
        assert float(np.square(error).isel(time=slice(10, 50)).mean()) < 2
    succeed(
        *("assimilate", "enks", *data, "--model-error-variance", 5, "--out", "stated.nc"),
    )
    scores = json.loads(
        succeed("compare", *data, "--methods", "oi,enks", "--out", "nameless", "--json")
    )
    assert scores["oi"]["ode_score"] is scores["oi"]["fourdvar_score"] is None
    for method in ("strong", "weak-lbfgs"):
        message = fail("assimilate", method, *data, "--out", "strong.nc")
        assert "equations are not known here" in message
        assert "--system MODULE:NAME" in message
    assert "--system" in fail("compare", *data, "--methods", "oi,strong", "--out", "none")
    assert not (folder / "none").exists()
    named = (*data, "--system", "l63", "--out", "named.nc")
    succeed("assimilate", "strong-quasistatic", *named)


@pytest.mark.long
def test_a_model_of_ones_own_layers_is_loaded_by_an_option(folder, tmp_path):
    own = import_own("own_animals")
    model = FourDVarNet(own.Neighbours(), GradientSolver(LSTMCell(), iterations=1))
    dataset = simulate_dataset(Lorenz63(), plan_of(Lorenz63()), 3, 40)
    model.adapt(dataset["observations"].values)
    model.save(tmp_path / "own.keras")
    write_dataset(dataset, tmp_path / "l63.nc")
    use = (tmp_path / "own.keras", "--data", tmp_path / "l63.nc")
    # In processes that have not seen it.
    unknown = run("evaluate", *use, cwd=folder)
    assert unknown.returncode == 2
    assert "it names 'Neighbours' of the module 'own_animals'" in unknown.stderr
    assert "by --import MODULE" in unknown.stderr
    known = run("evaluate", *use, "--import", "own_animals", "--json", cwd=folder)
    assert known.returncode == 0, known.stderr
    assert json.loads(known.stdout)["windows"] == 3
    for module in ("own_animals", "./own_animals.py"):
        out = ("--out", tmp_path / "states.nc", "--import", module, "--force")
        succeed("reconstruct", *use, *out)
    message = fail("evaluate", *use, "--import", "not_there")
    assert "There is no module not_there" in message


def run(*arguments, cwd):
    code = "from tf4dvar.cli.app import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_a_system_that_is_not_there_is_named(folder, windows):
    own = ("assimilate", "strong", "--data", windows, "--out", "no.nc", "--system")
    assert "own_animals has no System foxes; it has hares, driven_hares" in fail(
        *own, "own_animals:foxes"
    )
    assert "known systems: ks, l63, l96. One of your own is MODULE:NAME" in fail(*own, "foxes")
    assert "There is no module foxes" in fail(*own, "foxes:hares")
    wrong = fail(*own, "l96")
    assert "expected 40 components" in wrong
