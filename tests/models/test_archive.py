import json
import zipfile

import keras
import numpy as np
import pytest
import sympy
from hostile import archive, members

from tf4dvar.errors import InputError
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.layers import GENN, GradientSolver, LSTMCell, RK4Flow, ode_layer
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.systems.symbolic import Equations


def dense(units):
    return {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"units": units},
        "registered_name": None,
    }


def saved(model, path, components=2):
    model(np.zeros((1, 4, components), "float32"))
    model.save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    model = FourDVarNet(GENN(units=2), GradientSolver(LSTMCell(units=2), iterations=2))
    return saved(model, tmp_path_factory.mktemp("model") / "model.keras")


def edited(content, path, **parts):
    """The file with other arguments of the model, or of its solver."""
    config = json.loads(members(content)["config.json"])
    for name, value in parts.items():
        of_the_solver = name.startswith("solver.")
        owner = config["config"]["solver"] if of_the_solver else config
        owner["config"][name.removeprefix("solver.")] = value
    path.write_bytes(archive(content, config=json.dumps(config).encode()))
    return path


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"solver.iterations": 2**70}, "2147483647 at most"),
        ({"solver.iterations": 1e300}, "an integer from 0"),
        ({"solver.iterations": True}, "an integer from 0"),
        ({"solver.micro_batches": 2**70}, "2147483647 at most"),
        ({"prior": dense(10**9)}, "larger than the file"),
        ({"prior": dense(10**6)}, "larger than the file"),
        ({"prior": dense(2**40)}, "2147483647 at most"),
        ({"prior": dense(3)}, "could not be loaded"),
        ({"prior": {**dense(2), "module": "os", "class_name": "system"}}, "not known here"),
        ({"prior": {**dense(2), "module": "os"}}, "not known here"),
        ({"prior": {**dense(2), "module": "keras.src.utils.file_utils"}}, "not known here"),
        ({"prior": {**dense(2), "class_name": "__lambda__"}}, "not known here"),
        ({"prior": {"class_name": "function", "config": "eval"}}, "not known here"),
        ({"prior": {"class_name": "function", "config": "system", "module": "os"}}, "not known"),
        ({"prior": {"class_name": "function", "config": "relu", "module": "os"}}, "not known"),
    ],
)
def test_a_file_that_asks_for_too_much_or_for_what_is_unknown_is_refused(
    content, parts, reason, tmp_path
):
    with pytest.raises(InputError, match=rf"model\.keras cannot be loaded \(.*{reason}"):
        load_model(edited(content, tmp_path / "model.keras", **parts))


@pytest.mark.parametrize("shape", [[None], {"shape": [None, None, 2]}, "of the input", 7])
def test_a_layer_does_not_count_as_built_by_what_is_no_shape(content, shape, tmp_path):
    """Keras would leave out its weights without a word."""
    config = json.loads(members(content)["config.json"])
    prior = config["config"]["prior"] | {"build_config": shape}
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(edited(content, tmp_path / "model.keras", prior=prior))


def test_no_module_is_imported_by_its_name(content, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("Layer", "function"):
        part = {"module": "evil", "class_name": name, "config": {}, "registered_name": name}
        with pytest.raises(InputError, match="not known here"):
            load_model(edited(content, tmp_path / "model.keras", prior=part))


def test_a_file_without_a_description_is_refused(content, tmp_path):
    path = tmp_path / "model.keras"
    for description in (b"[" * 100_000, b"{", b"\xff", b"null", b'{"class_name": "FourDVarNet"}'):
        path.write_bytes(archive(content, config=description))
        with pytest.raises(InputError, match="cannot be loaded"):
            load_model(path)
    with zipfile.ZipFile(path, "w") as empty:
        empty.writestr("metadata.json", "{}")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(path)


def functional():
    inputs = keras.Input((None, 2))
    return keras.Model(inputs, keras.layers.Dense(2, "tanh")(inputs) * 2 + keras.ops.sin(inputs))


@pytest.mark.parametrize("prior", [lambda: keras.Sequential([keras.layers.Dense(2)]), functional])
def test_kerass_own_layers_of_any_kind_are_known(prior, tmp_path, rng):
    model = FourDVarNet(prior(), GradientSolver(LSTMCell(units=2), iterations=2))
    saved(model, tmp_path / "model.keras")
    observations = rng.normal(size=(2, 8, 2)).astype("float32")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(observations), model(observations))


def test_the_names_of_bound_symbols_are_not_run(tmp_path):
    """A sum whose index is named like code, in a limit that is not evaluated."""
    x, a = sympy.symbols("x a")
    ode = ode_layer(Equations({x: -a * x}), a=1.0)
    path = tmp_path / "model.keras"
    content = saved(
        FourDVarNet(RK4Flow(ode, 0.1), GradientSolver(LSTMCell(units=2))), path, components=1
    )
    mark = tmp_path / "mark"
    index = ["Symbol", f"[0][__import__('os').system('touch {mark}')]"]
    unevaluated = ["UnevaluatedExpr", ["Symbol", "a"]]
    hostile = ["Sum", index, ["Tuple", index, ["Rational", "1"], unevaluated]]
    config = json.loads(members(content)["config.json"])
    config["config"]["prior"]["config"]["ode"]["config"]["tendency"]["rates"][0][1] = hostile
    path.write_bytes(archive(content, config=json.dumps(config).encode()))
    with pytest.raises(InputError, match="cannot be loaded"):
        reconstruct(load_model(path), np.ones((1, 4, 1)))
    assert not mark.exists()
