"""What a model was trained on stays with it, in every form."""

import json

import numpy as np
import pytest
import xarray as xr
from hostile import archive, members

from tests.models.test_archive import edited
from tf4dvar import export
from tf4dvar.data import Signature
from tf4dvar.errors import InputError
from tf4dvar.experiments import true_flow
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    FixedStepCell,
    GradientSolver,
    LinearObservation,
    LSTMCell,
)
from tf4dvar.models import FourDVarNet, load_model, twin
from tf4dvar.serving.versions import Version


@pytest.fixture
def data(windows):
    return windows["observations"].isel(window=slice(20), time=slice(40))


@pytest.fixture
def model(data):
    model = FourDVarNet(true_flow("l63"), GradientSolver(LSTMCell(units=4), iterations=2))
    model.adapt(data.values)
    model.signature = Signature.of(data, noise_variance=2.0)
    return model


def test_arrays_tell_none_and_other_things_are_refused(model, data):
    model.adapt(data.values)
    assert model.signature is None
    with pytest.raises(InputError, match="expected a Signature"):
        model.signature = {"components": ["x"]}


@pytest.mark.long
def test_it_comes_back_from_every_file_exactly(model, tmp_path):
    model.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").signature == model.signature
    assert twin(model).signature == model.signature
    export.save(model, tmp_path / "served")
    for card in (tmp_path / "served" / "card.json", tmp_path / "served/1/assets.extra/card.json"):
        trained_on = json.loads(card.read_text())["trained_on"]
        assert Signature.from_json(trained_on) == model.signature
    version = Version(tmp_path / "served" / "1")
    assert Signature.from_json(version.metadata()["trained_on"]) == model.signature


def test_a_file_without_one_is_read(model, data, tmp_path):
    model.adapt(data.values)
    model.save(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    config = json.loads(members(content)["config.json"])
    assert config["config"].pop("signature") is None
    (tmp_path / "older.keras").write_bytes(archive(content, config=json.dumps(config).encode()))
    assert load_model(tmp_path / "older.keras").signature is None


@pytest.mark.parametrize(
    "record",
    [
        3,
        "xyz",
        [],
        {},
        {"class_name": "function", "config": "system", "module": "os"},
        {"components": ["x"], "size": 2**70},
    ],
)
def test_a_file_with_a_spoilt_one_is_refused(model, record, tmp_path):
    model.save(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    with pytest.raises(InputError, match=r"model\.keras cannot be loaded"):
        load_model(edited(content, tmp_path / "model.keras", signature=record))
    record = json.loads(json.dumps(model.signature.to_json()))
    record["patterns"][0]["share"][0] = "many"
    with pytest.raises(InputError, match=r"cannot be loaded \(.*got `str` - at `\$.patterns"):
        load_model(edited(content, tmp_path / "model.keras", signature=record))


def test_a_version_with_a_spoilt_one_is_refused(model, tmp_path):
    export.save(model, tmp_path / "served")
    card = tmp_path / "served/1/assets.extra/card.json"
    record = json.loads(card.read_text())
    record["trained_on"]["size"] = -1
    card.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"Expected `int` >= 1 - at `\$.size`"):
        Version(tmp_path / "served" / "1")


@pytest.mark.long
def test_predict_and_fit_take_labels_in_any_order(model, data, windows):
    truth = windows["truth"].isel(window=slice(20), time=slice(40)).astype("float32")
    data, order = data.astype("float32"), ["z", "x", "y"]
    states = model.predict(data.values, verbose=0)
    permuted = data.sel(component=order)
    indices = [2, 0, 1]
    np.testing.assert_array_equal(model.predict(permuted, verbose=0), states[..., indices])
    np.testing.assert_array_equal(model.predict_on_batch(permuted), states[..., indices])
    inputs = {"observations": permuted, "background": truth.sel(component=order)}
    given = {"observations": data.values, "background": truth.values}
    np.testing.assert_array_equal(
        model.predict(inputs, verbose=0), model.predict(given, verbose=0)[..., indices]
    )
    model.compile("sgd")
    loss = model.evaluate(data.values, truth.values, verbose=0)
    assert model.evaluate(permuted, truth.sel(component=order), verbose=0) == loss
    assert model.test_on_batch(permuted, truth) == pytest.approx(loss)
    with pytest.raises(InputError, match="w is unknown"):
        model.fit(data.assign_coords(component=list("xyw")), truth, verbose=0)


@pytest.mark.long
def test_states_of_an_operator_keep_their_order(rng):
    """The observed components are found by their names, those of the state are the model's."""
    observed = xr.DataArray(
        rng.normal(size=(4, 12, 2)),
        {"component": ["sum", "x"], "time": ("time", np.arange(12.0), {"units": "s"})},
        ("window", "time", "component"),
    )
    model = FourDVarNet(
        GENN(units=2),
        GradientSolver(FixedStepCell(0.1), iterations=2),
        first_guess=AttentionFirstGuess(segment=4, width=4, depth=1, heads=1, components=3),
        observation=LinearObservation([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]),
    )
    model.adapt(observed.values, rng.normal(size=(4, 12, 3)))
    model.signature = Signature.of(observed)
    states = model.predict(observed.values, verbose=0)
    swapped = observed.sel(component=["x", "sum"])
    np.testing.assert_array_equal(model.predict(swapped, verbose=0), states)
