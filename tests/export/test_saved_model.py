import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.data import ObservationPlan, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.export import save
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    ConvCell,
    GradientSolver,
    LinearObservation,
    Lorenz63ODE,
    LSTMCell,
    RK4Flow,
    TrajectorySolver,
)
from tf4dvar.models import FourDVarNet
from tf4dvar.models.saved_model import MAX_ITERATIONS
from tf4dvar.systems import Lorenz63

pytestmark = pytest.mark.long

# Loads a SavedModel in a process without this package: -I -S leaves out what the editable
# install puts on the path.
ELSEWHERE = """
import sys
sys.path.append(sys.argv[1])
try:
    import tf4dvar
except ModuleNotFoundError:
    pass
else:
    sys.exit("tf4dvar is there")
import numpy as np
import tensorflow as tf

windows = np.load("windows.npz")
for directory in sys.argv[2:]:
    signatures = tf.saved_model.load(directory).signatures
    results = {}
    for name in windows.files:
        observations = tf.constant(windows[name])
        results[name] = signatures["serving_default"](observations=observations)["state"]
        other = signatures["reconstruct_with"](
            observations=observations, iterations=tf.constant(7)
        )
        results[name + "_state"], results[name + "_cost"] = other["state"], other["cost"]
    np.savez(directory + "/results.npz", **results)
"""


def make_model(prior=None, cell=None, **settings):
    solver = GradientSolver(cell or LSTMCell(units=6), 3, **settings)
    model = FourDVarNet(prior or GENN(units=6), solver)
    rng = np.random.default_rng(1)
    model.adapt(5 + 8 * rng.normal(size=(20, 30, 3)))
    # As training would: no update of the solver is nothing then.
    for weight in model.trainable_variables:
        weight.assign(weight * 1.1)
    return model


SUM = [[1.0, 1.0, 0.0]]
OPERATORS = {
    "one": lambda: LinearObservation(SUM),
    "two sources": lambda: [LinearObservation(SUM), LinearObservation(1000 * np.eye(3)[1:])],
}


def make_observing_model(operator):
    """A model that observes by an operator, and windows of its observations."""
    model = FourDVarNet(GENN(units=4), GradientSolver(ConvCell(), 3), observation=operator)
    matrix = np.concatenate([each.matrix for each in model.operator.operators])
    truth = 5 + 8 * np.random.default_rng(1).normal(size=(20, 30, 3))
    model.adapt(truth @ matrix.T, truth)
    windows = make_windows()
    seen = {name: (window @ matrix.T).astype("float32") for name, window in windows.items()}
    return model, seen


def make_windows():
    rng = np.random.default_rng(2)
    random = 5 + 8 * rng.normal(size=(4, 50, 3))
    windows = {
        "random": np.where(rng.random(random.shape) < 0.3, random, np.nan),
        "nothing": np.full((2, 17, 3), np.nan),
        "everything": random[:1, :40],
        "shortest": random[:3, :1],
    }
    return {name: window.astype("float32") for name, window in windows.items()}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return make_model()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return save(model, tmp_path_factory.mktemp("exported") / "served")


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


def test_it_gives_the_same_where_the_package_is_not(model, exported, tmp_path):
    windows = make_windows()
    np.savez(tmp_path / "windows.npz", **windows)
    flow = make_model(RK4Flow(Lorenz63ODE(trainable=False), 0.01), ConvCell())
    versions = {exported: model, save(flow, tmp_path / "flow"): flow}
    arguments = map(str, (Path(keras.__file__).parents[1], *versions))
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", ELSEWHERE, *arguments], cwd=tmp_path, check=True
    )
    for version, ours in versions.items():
        results = np.load(version / "results.npz")
        for name, observations in windows.items():
            expected = ours.predict(observations, verbose=0)
            np.testing.assert_allclose(results[name], expected, rtol=1e-5, atol=1e-5)
            states, costs = tf.function(ours.iterates)(observations, 7)
            np.testing.assert_allclose(results[name + "_state"], states[-1], rtol=1e-5, atol=1e-5)
            assert results[name + "_cost"].shape == (len(observations), 8)
            np.testing.assert_allclose(results[name + "_cost"].T, costs, rtol=1e-5, atol=1e-5)


def test_keras_own_export_is_the_packages(model, loaded, tmp_path):
    model.export(tmp_path / "saved")
    signatures = tf.saved_model.load(str(tmp_path / "saved")).signatures
    assert set(signatures) == set(loaded.signatures)
    for window in make_windows().values():
        ours, theirs = (
            each["serving_default"](observations=tf.constant(window))["state"]
            for each in (signatures, loaded.signatures)
        )
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match="writes ONNX too"):
        model.export(tmp_path / "other", format="onnx")
    with pytest.raises(InputError, match="input_signature"):
        model.export(tmp_path / "other", input_signature=[])
    with pytest.raises(InputError, match="no weights yet"):
        FourDVarNet(GENN(units=6), GradientSolver(LSTMCell())).export(tmp_path / "other")


def test_saved_model_cli_runs_it(exported, model, tmp_path):
    observations = make_windows()["random"]
    np.savez(tmp_path / "windows.npz", observations=observations)
    subprocess.run(
        [
            *(Path(sys.executable).with_name("saved_model_cli"), "run", "--dir", exported),
            *("--tag_set", "serve", "--signature_def", "serving_default"),
            *("--inputs", f"observations={tmp_path / 'windows.npz'}[observations]"),
            *("--outdir", tmp_path),
        ],
        check=True,
        capture_output=True,
    )
    expected = model.predict(observations, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "state.npy"), expected, rtol=1e-5, atol=1e-5)


def test_unrolled_and_compiled_it_gives_the_same(model, tmp_path):
    version = save(model, tmp_path / "served", unroll=True)
    library = tf.saved_model.load(str(version)).signatures["serving_default"].graph.as_graph_def()
    compiled = [f for f in library.library.function if f.attr["_XlaMustCompile"].b]
    assert compiled
    assert not any("While" in node.op for f in compiled for node in f.node_def)
    loaded = tf.saved_model.load(str(version)).signatures
    observations = make_windows()["random"]
    expected = model.predict(observations, verbose=0)
    state = loaded["serving_default"](observations=tf.constant(observations))["state"]
    np.testing.assert_allclose(state, expected, rtol=1e-5, atol=1e-5)
    # The other signature stays a loop: any K.
    result = loaded["reconstruct_with"](
        observations=tf.constant(observations), iterations=tf.constant(1)
    )
    assert result["cost"].shape == (len(observations), 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="infinite"):
        loaded["serving_default"](observations=tf.fill((1, 5, 3), np.inf))


def make_trajectory_model(segment=None):
    """Gauss-Newton steps from interpolation, and windows near a trajectory, which it begins at."""
    network = AttentionFirstGuess(8, 16, 1, 2, weighted=True, background=True, outputs=2)
    model = FourDVarNet(
        RK4Flow(Lorenz63ODE(trainable=False), 0.01),
        TrajectorySolver(network, segment=segment),
        noise_variance=2.0,
    )
    data = simulate_dataset(Lorenz63(), ObservationPlan((0, 1, 2), 2, 2.0), 4, 40, seed=5)
    observations = data["observations"].values.astype("float32")
    model.adapt(observations)
    return model, observations


@pytest.mark.parametrize("segment", [None, 16])
@pytest.mark.parametrize("unroll", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_search_for_trajectories_is_exported_too(unroll, segment, tmp_path):
    model, observations = make_trajectory_model(segment)
    expected = model.predict(observations, verbose=0)
    loaded = tf.saved_model.load(str(save(model, tmp_path, unroll=unroll))).signatures
    state = loaded["serving_default"](observations=tf.constant(observations))["state"]
    np.testing.assert_allclose(state, expected, atol=2e-3)
    result = loaded["reconstruct_with"](
        observations=tf.constant(observations), iterations=tf.constant(2)
    )
    np.testing.assert_allclose(result["state"], expected, atol=2e-3)
    assert result["cost"].shape == (4, 3)


def test_the_model_is_left_as_it_is_and_how_it_was_trained_does_not_matter(model, tmp_path, caplog):
    observations = make_windows()["random"]
    expected = model.predict(observations, verbose=0)
    other = make_model(unroll=True)
    other.set_weights(model.get_weights())
    caplog.clear()
    version = save(other, tmp_path / "served")
    assert not caplog.records
    loaded = tf.saved_model.load(str(version)).signatures["serving_default"]
    state = loaded(observations=tf.constant(observations))["state"]
    np.testing.assert_allclose(state, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.predict(observations, verbose=0), expected)


def test_any_number_of_iterations_but_no_absurd_one(loaded, model):
    observations = tf.constant(make_windows()["random"])
    reconstruct = loaded.signatures["reconstruct_with"]
    first_guess = reconstruct(observations=observations, iterations=tf.constant(0))
    assert first_guess["cost"].shape == (4, 1)
    np.testing.assert_allclose(
        first_guess["state"], model.iterates(observations, 0).states[0], rtol=1e-5, atol=1e-5
    )
    for iterations in (-1, MAX_ITERATIONS + 1, 2**31 - 1):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{iterations}.*expected 0 to"):
            reconstruct(observations=observations, iterations=tf.constant(iterations))


@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 5, 1), (2, 5), (0, 5, 3), (2, 0, 3), ()])
def test_the_graph_itself_refuses_other_shapes(shape, exported):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(exported))
        signature = meta.signature_def["serving_default"]
        # Python checks a feed by the placeholder's shape, a server in C++ does not.
        for node in meta.graph_def.node:
            if node.name == signature.inputs["observations"].name.split(":")[0]:
                node.attr["shape"].shape.CopyFrom(tf.TensorShape(None).as_proto())
                del node.attr["_output_shapes"]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.train.import_meta_graph(meta).restore(
            session, str(exported / "variables" / "variables")
        )
        feed = {signature.inputs["observations"].name: np.zeros(shape, "float32")}
        with pytest.raises(tf.errors.InvalidArgumentError, match="Received observations of shape"):
            session.run(signature.outputs["state"].name, feed)


def test_infinite_observations_are_refused(loaded):
    observations = make_windows()["random"]
    observations[1, 2, 0] = -np.inf
    for signature, more in (
        ("serving_default", {}),
        ("reconstruct_with", {"iterations": tf.constant(2)}),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="infinite observations"):
            loaded.signatures[signature](observations=tf.constant(observations), **more)


def test_the_card_tells_what_the_graph_takes_and_returns(exported, loaded, model):
    card = json.loads((exported.parent / "card.json").read_text())
    assert card["iterations"] == model.iterations
    assert card["parameters"] == model.count_params() - 6 - 1
    created = datetime.strptime(card["created"], "%Y-%m-%dT%H:%M:%S%z")
    assert created.utcoffset().total_seconds() == 0
    assert set(card["signatures"]) == set(loaded.signatures)
    for name, function in loaded.signatures.items():
        for described, specs in (
            (card["signatures"][name]["inputs"], function.structured_input_signature[1]),
            (card["signatures"][name]["outputs"], function.structured_outputs),
        ):
            assert set(described) == set(specs)
            for tensor, spec in specs.items():
                assert described[tensor]["shape"] == spec.shape.as_list()
                assert described[tensor]["dtype"] == spec.dtype.name


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("unroll", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_an_operator_observes_goes_in_and_the_state_comes_out(operator, unroll, tmp_path):
    model, windows = make_observing_model(OPERATORS[operator]())
    observed = windows["random"].shape[-1]
    version = save(model, tmp_path, description={"units": "m"}, unroll=unroll)
    signatures = tf.saved_model.load(str(version)).signatures
    for observations in windows.values():
        expected = model.predict(observations, verbose=0)
        observations = tf.constant(observations)
        state = signatures["serving_default"](observations=observations)["state"]
        assert state.shape[-1] == 3
        np.testing.assert_allclose(state, expected, rtol=1e-4, atol=1e-4)
        other = signatures["reconstruct_with"](observations=observations, iterations=tf.constant(3))
        np.testing.assert_allclose(other["state"], expected, rtol=1e-4, atol=1e-4)
    described = json.loads((tmp_path / "card.json").read_text())["signatures"]["serving_default"]
    taken, returned = described["inputs"]["observations"], described["outputs"]["state"]
    assert (taken["shape"][-1], returned["shape"][-1]) == (observed, 3)
    assert returned["units"] == "m" != taken["units"]


@pytest.mark.slow
def test_an_export_that_is_killed_leaves_no_version(model, tmp_path):
    model.save(tmp_path / "model.keras")
    code = """
import os, signal, sys
import tensorflow as tf
from tf4dvar.models import load_model
from tf4dvar.export import save

write = tf.saved_model.save

def write_and_wait(*args, **kwargs):
    write(*args, **kwargs)
    print("here", flush=True)
    signal.pause()

tf.saved_model.save = write_and_wait
save(load_model(sys.argv[1]), sys.argv[2])
"""
    served = tmp_path / "served"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "model.keras"), str(served)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "here\n"
        os.kill(process.pid, signal.SIGKILL)
    assert [child.name for child in served.iterdir()] == [".unfinished"]
    assert (served / ".unfinished" / "saved_model.pb").exists()
    assert save(model, served) == served / "1"
    assert sorted(child.name for child in served.iterdir()) == ["1", "card.json"]
