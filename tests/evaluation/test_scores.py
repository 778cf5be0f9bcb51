import json
import marshal
import os
import zipfile
from base64 import b64encode

import numpy as np
import pytest

from tf4dvar.errors import InputError
from tf4dvar.evaluation.comparison import problem_of
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.evaluation.scores import evaluate, score, warn_of_training_windows
from tf4dvar.experiments import true_flow
from tf4dvar.layers import GradientSolver, LSTMCell
from tf4dvar.models import FourDVarNet, load_model


@pytest.fixture(scope="module")
def model(windows):
    model = FourDVarNet(true_flow("l63"), GradientSolver(LSTMCell(units=4), iterations=2))
    model.adapt(windows["observations"].values)
    return model


def test_scores_of_the_truth(windows):
    scores = score(windows["truth"].values, windows)
    assert scores["r_score"] == 0
    assert set(scores["r_score_by_component"]) == {"x", "y", "z"}
    assert len(scores["r_score_by_time"]) == 200
    # One hundredth of the noise variance, 2.
    np.testing.assert_allclose(scores["fourdvar_score"], 0.02, rtol=0.1)


def test_standard_error_is_that_over_windows(windows, rng):
    states = windows["truth"].values + rng.normal(size=(40, 1, 1))
    scores = score(states, windows)
    errors = np.square(states - windows["truth"].values).mean((1, 2))
    np.testing.assert_allclose(scores["r_score_se"], errors.std(ddof=1) / np.sqrt(40))
    np.testing.assert_allclose(np.mean(scores["r_score_by_time"]), scores["r_score"])


@pytest.mark.long
def test_evaluate_has_the_promised_keys_and_survives_loading(model, windows, tmp_path):
    model.save(tmp_path / "model.keras")
    first = evaluate(model, windows)
    again = evaluate(load_model(tmp_path), windows)
    promised = {
        "r_score",
        "r_score_se",
        "fourdvar_score",
        "ode_score",
        "r_score_by_component",
        "seconds_per_window",
        "windows",
    }
    assert promised <= set(first)
    for key in promised - {"seconds_per_window"}:
        assert again[key] == first[key]
    # The prior is the true flow, in float32.
    assert first["ode_score"] < 1e-8


def test_own_data_without_a_known_system_has_no_4dvar_score(windows):
    own = windows.copy()
    for attributes in ({}, {"system": "my pendulum"}):
        own.attrs = attributes
        assert score(own["truth"].values, own)["fourdvar_score"] is None
    with pytest.raises(InputError, match="no variable `truth`"):
        score(own["truth"].values, own.drop_vars("truth"))


def test_observations_of_another_size_are_refused(model, windows):
    with pytest.raises(InputError, match="expected 3 components"):
        reconstruct(model, windows["observations"].values[..., :2])


def test_states_that_are_not_finite_are_an_error(windows):
    class Explosion(LSTMCell):
        def call(self, gradient, states):
            increment, states = super().call(gradient, states)
            return increment + 1e30, states

    model = FourDVarNet(true_flow("l63"), GradientSolver(Explosion(units=2), iterations=3))
    model.adapt(windows["observations"].values)
    with pytest.raises(
        InputError, match=r"40 of 40 windows are not finite, the first of them number 0"
    ):
        reconstruct(model, windows["observations"].values)


def test_scoring_on_training_windows_is_warned_of(windows, tmp_path, caplog):
    def warned(path, system="l63", seed=7):
        caplog.clear()
        dataset = windows.assign_attrs(system=system, seed=seed)
        warn_of_training_windows(path, dataset)
        return "trained on" in caplog.text

    training = {"experiment": "l63-sup-genn-lstm", "seed": 7}
    (tmp_path / "config.json").write_text(json.dumps({"options": training}))
    assert warned(tmp_path)
    assert warned(tmp_path / "model.keras")
    assert not warned(tmp_path, seed=8)
    assert not warned(tmp_path, system="l96")
    # Fresh windows are no data set's; another program's record says nothing.
    for record in ({"options": training | {"experiment": "l63-c"}}, {"seed": 7}):
        (tmp_path / "config.json").write_text(json.dumps(record))
        assert not warned(tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({"source": {"training": training}}))
    assert warned(tmp_path)


@pytest.mark.long
def test_the_model_with_which_a_training_begins_is_no_trained_one(windows, tmp_path):
    model = FourDVarNet(true_flow("l63"), GradientSolver(LSTMCell(units=2), iterations=1))
    observations = windows["observations"].values[:4].astype("float32")
    model.adapt(observations)
    model.compile("sgd", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    with pytest.raises(InputError, match="No epoch of the training"):
        load_model(tmp_path)
    assert load_model(tmp_path / "model.keras").iterations == 1
    model.fit(observations, windows["truth"].values[:4].astype("float32"), verbose=0)
    model.save(tmp_path / "model.keras")
    assert load_model(tmp_path).iterations == 1


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no model at"):
        load_model(tmp_path)
    damaged = tmp_path / "model.keras"
    damaged.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(damaged)


def rewritten(file, members, compression=zipfile.ZIP_STORED):
    """The archive with other files in it."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | members
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_flipped_bit_in_the_weights_is_noticed(model, tmp_path):
    file = tmp_path / "model.keras"
    model.save(file)
    content = bytearray(file.read_bytes())
    place = content.find(model.normalisation.mean.numpy().tobytes())
    content[place + 1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"its model\.weights\.h5 is damaged"):
        load_model(file)


def test_an_archive_larger_than_itself_is_refused(model, tmp_path):
    file = tmp_path / "model.keras"
    model.save(file)
    rewritten(file, {"model.weights.h5": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="larger than itself"):
        load_model(file)


@pytest.mark.parametrize("place", ["model", "prior", "cell", "first_guess"])
@pytest.mark.parametrize("kind", ["command", "lambda", "download"])
def test_a_file_that_would_do_something_is_refused(model, kind, place, tmp_path, monkeypatch):
    """Keras' safe mode is on, and classes come from Keras and this package alone."""
    mark = tmp_path / "mark"
    code = marshal.dumps(compile(f"open({str(mark)!r}, 'w')", "", "exec"))
    function = {"class_name": "__lambda__", "config": {"code": b64encode(code).decode()}}
    module, name, config = {
        "command": ("os", "system", {"command": f"touch {mark}"}),
        "lambda": ("keras.layers", "Lambda", {"name": "evil", "function": function}),
        "download": ("keras.utils", "get_file", {"fname": str(mark), "origin": "file:///etc"}),
    }[kind]
    evil = {"module": module, "class_name": name, "config": config, "registered_name": name}
    file = tmp_path / "model.keras"
    model.save(file)
    with zipfile.ZipFile(file) as archive:
        whole = json.loads(archive.read("config.json"))
    if place == "model":
        whole = evil
    else:
        whole["config"][place] = evil
    rewritten(file, {"config.json": json.dumps(whole)})
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(command))
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(file)
    assert not mark.exists()


def test_attributes_that_make_no_sense_are_an_answer_of_one_line(windows):
    truth = windows["truth"].values
    for attributes, message in (
        ({"time_step": "short"}, "time_step = 'short'; expected a number"),
        ({"system": "l96"}, "expected 40 components"),
    ):
        with pytest.raises(InputError, match=message):
            score(truth, windows.assign_attrs(attributes))
    for attributes, message in (
        ({"noise_variance": np.nan}, "noise_variance = nan"),
        ({"system": np.array([1, 2])}, "known systems: ks, l63, l96"),
    ):
        with pytest.raises(InputError, match=message):
            problem_of(windows.assign_attrs(attributes))
