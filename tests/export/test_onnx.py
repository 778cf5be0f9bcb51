import hashlib
import json
import sys

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from tests.export.test_saved_model import (
    OPERATORS,
    make_observing_model,
    make_trajectory_model,
    make_windows,
)
from tests.layers.test_observation_operators import Speed
from tf4dvar.errors import InputError
from tf4dvar.export import onnx, save
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    AutoEncoder,
    BilinearODE,
    ConvCell,
    EulerFlow,
    FixedStepCell,
    GaussianPosterior,
    GradientSolver,
    Lorenz63ODE,
    Lorenz96ODE,
    LSTMCell,
    PeriodicFirstGuess,
    PeriodicGENN,
    RK4Flow,
    SegmentCell,
)
from tf4dvar.models import FourDVarNet

pytestmark = pytest.mark.long

SLOW = {
    "rk4-lstm": lambda: FourDVarNet(
        RK4Flow(Lorenz63ODE(), 0.01), GradientSolver(LSTMCell(units=6), 3)
    ),
    "rk4-conv": lambda: FourDVarNet(RK4Flow(Lorenz63ODE(), 0.01), GradientSolver(ConvCell(), 3)),
    "euler": lambda: FourDVarNet(
        EulerFlow(BilinearODE(), 0.01), GradientSolver(FixedStepCell(0.1), 3)
    ),
    "one-scale": lambda: FourDVarNet(GENN(units=6, scale=None), GradientSolver(ConvCell(), 3)),
    "attention": lambda: FourDVarNet(
        GENN(units=6),
        GradientSolver(LSTMCell(units=6), 3),
        first_guess=AttentionFirstGuess(width=16, depth=1, heads=2),
    ),
    "plane": lambda: FourDVarNet(
        PeriodicGENN(units=4, kernel_size=5), GradientSolver(LSTMCell(units=3, circle=True), 3)
    ),
    "l96": lambda: FourDVarNet(
        RK4Flow(Lorenz96ODE(), 0.05), GradientSolver(ConvCell(first_step=0.03, circle=True), 3)
    ),
    "slots": lambda: FourDVarNet(
        RK4Flow(Lorenz96ODE(), 0.05),
        GradientSolver(SegmentCell(width=8), 3),
        first_guess=PeriodicFirstGuess(width=8, depth=2),
    ),
}


def adapted(model, components=3):
    rng = np.random.default_rng(1)
    model.adapt(5 + 8 * rng.normal(size=(20, 30, components)))
    return model


def wider(observations, components):
    return np.tile(observations, (1, 1, 3))[..., :components]


def check(model, version, components=3):
    session = onnxruntime.InferenceSession(version / "model.onnx")
    deviation = model.normalisation.std.numpy()
    for observations in make_windows().values():
        observations = wider(observations, components)
        (state,) = session.run(["state"], {"observations": observations})
        difference = state - model.predict(observations, verbose=0)
        np.testing.assert_allclose(difference / deviation, 0, atol=1e-4)
    return session


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = adapted(FourDVarNet(GENN(units=6), GradientSolver(LSTMCell(units=6), 3)))
    return model, save(model, tmp_path_factory.mktemp("onnx") / "served", "onnx")


def test_the_file_gives_the_model_s_states(exported):
    check(*exported)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_every_prior_and_update_converts(name, tmp_path):
    components = 8 if name in ("l96", "slots") else 3
    model = adapted(SLOW[name](), components)
    check(model, save(model, tmp_path / "served", "onnx"), components)


def test_the_file_describes_itself(exported):
    _, version = exported
    assert sorted(child.name for child in version.iterdir()) == ["assets.extra", "model.onnx"]
    session = onnxruntime.InferenceSession(version / "model.onnx")
    inside = json.loads(session.get_modelmeta().custom_metadata_map["card"])
    card = json.loads((version.parent / "card.json").read_text())
    digest = hashlib.sha256((version / "model.onnx").read_bytes()).hexdigest()
    assert card == {**inside, "version": 1, "sha256": {"model.onnx": digest}}
    (taken,), (returned,) = session.get_inputs(), session.get_outputs()
    assert {taken.name} == set(card["inputs"])
    assert {returned.name} == set(card["outputs"])
    for tensor, described in (
        (taken, card["inputs"]["observations"]),
        (returned, card["outputs"]["state"]),
    ):
        assert tensor.type == "tensor(float)"
        assert tensor.shape[2] == described["shape"][2] == 3


def test_bad_observations_give_no_state(exported):
    _, version = exported
    session = onnxruntime.InferenceSession(version / "model.onnx")
    observations = make_windows()["random"]
    with pytest.raises(Exception, match="Got: 2 Expected: 3"):
        session.run(None, {"observations": observations[..., :2]})
    observations[1, 30, 0] = np.inf
    (state,) = session.run(None, {"observations": observations})
    assert np.isnan(state[1]).all()
    assert np.isfinite(state[[0, 2, 3]]).all()


def test_what_does_not_convert_is_refused_by_name_and_leaves_nothing(tmp_path):
    model = adapted(FourDVarNet(AutoEncoder(units=4), GradientSolver(FixedStepCell(0.1), 1)))
    with pytest.raises(InputError, match=r"AutoEncoder.*nothing in ONNX for .*with_adjoint"):
        save(model, tmp_path / "served", "onnx")
    assert list((tmp_path / "served").iterdir()) == []


def test_how_sure_a_model_is_for_noise_of_any_size(tmp_path, rng):
    network = AttentionFirstGuess(8, 16, 1, 2, weighted=True, background=True, outputs=3)
    model = adapted(
        FourDVarNet(
            RK4Flow(Lorenz63ODE(trainable=False), 0.01),
            GradientSolver(LSTMCell(units=4), 2),
            first_guess=AttentionFirstGuess(8, 16, 1, 2, weighted=True),
            noise_variance=2.0,
            uncertainty=GaussianPosterior(network),
        )
    )
    session = onnxruntime.InferenceSession(save(model, tmp_path, "onnx") / "model.onnx")
    given = {"observations": 5 + 8 * rng.normal(size=(2, 30, 3)).astype("float32")}
    given["observations"][:, 1::3] = np.nan
    given["noise_variance"] = rng.uniform(0.5, 8, (2, 30, 3)).astype("float32")
    given["noise_variance"][0] = np.nan
    for found, expected in zip(
        session.run(["state", "std"], given), model.posterior(given), strict=True
    ):
        np.testing.assert_allclose(found / 8, expected / 8, atol=1e-4)


@pytest.mark.parametrize("segment", [None, 16])
def test_a_search_for_trajectories_converts(segment, tmp_path):
    model, observations = make_trajectory_model(segment)
    session = onnxruntime.InferenceSession(save(model, tmp_path, "onnx") / "model.onnx")
    (state,) = session.run(["state"], {"observations": observations})
    np.testing.assert_allclose(state, model.predict(observations, verbose=0), atol=2e-3)


@pytest.mark.parametrize("operator", ["one", pytest.param("two sources", marks=pytest.mark.slow)])
def test_what_an_operator_observes_goes_in_and_the_state_comes_out(operator, tmp_path):
    model, windows = make_observing_model(OPERATORS[operator]())
    version = save(model, tmp_path, "onnx")
    session = onnxruntime.InferenceSession(version / "model.onnx")
    for observations in windows.values():
        (state,) = session.run(["state"], {"observations": observations})
        difference = state - model.predict(observations, verbose=0)
        np.testing.assert_allclose(difference / model.normalisation.std.numpy(), 0, atol=1e-4)
    card = json.loads((tmp_path / "card.json").read_text())
    (taken,) = session.get_inputs()
    assert taken.shape[2] == card["inputs"]["observations"]["shape"][2] == observations.shape[2]


def test_an_operator_that_does_not_convert_is_named(tmp_path, monkeypatch):
    model = FourDVarNet(
        GENN(units=4),
        GradientSolver(ConvCell(), 1),
        first_guess=AttentionFirstGuess(segment=4, width=8, depth=1, heads=1, components=3),
        observation=Speed(),
    )
    model.build((None, None, 1))

    def fail(*_, **__):
        raise ValueError("no gradient")

    monkeypatch.setattr("tf2onnx.convert.from_function", fail)
    with pytest.raises(InputError, match=r"no gradient.* Speed is differentiated.*SavedModel"):
        save(model, tmp_path / "served", "onnx")
    assert list((tmp_path / "served").iterdir()) == []


def test_a_file_with_other_states_is_not_kept(exported, tmp_path, monkeypatch):
    model, version = exported
    content = (version / "model.onnx").read_bytes()
    monkeypatch.setattr(onnx, "_converted", lambda *_: content)
    other = FourDVarNet.from_config(model.get_config())
    other.build((None, None, 3))
    with pytest.raises(InputError, match="the state differs by up to"):
        save(other, tmp_path / "served", "onnx")
    monkeypatch.setattr(onnx, "_converted", lambda *_: content[:1000])
    with pytest.raises(InputError, match="onnxruntime ends with"):
        save(other, tmp_path / "served", "onnx")
    assert list((tmp_path / "served").iterdir()) == []


def test_formats_are_not_mixed(exported):
    model, version = exported
    with pytest.raises(InputError, match=r"'onnx'.*another directory"):
        save(model, version.parent)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    model = adapted(FourDVarNet(GENN(units=6), GradientSolver(LSTMCell(units=6), 3)))
    with pytest.raises(InputError, match=r"tf2onnx, which is not installed: pip install tf2onnx"):
        save(model, tmp_path / "served", "onnx")
    assert not (tmp_path / "served").exists()


NUMBERS = np.arange(-7, 8, dtype="int32")
REALS = np.linspace(-3, 3, 13, dtype="float32")


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (lambda x: x // 4, NUMBERS),
        (lambda x: x % 4, NUMBERS),
        (lambda x: x // -4, NUMBERS),
        (lambda x: x % -4, NUMBERS),
        (lambda x: x // 0.7, REALS),
        (lambda x: x % 0.7, REALS),
        (lambda x: tf.where(x > 0, tf.sqrt(x), -1.0), REALS),
        (tf.math.erfc, REALS),
        (lambda x: tf.math.log1p(tf.abs(x)), REALS),
        (lambda x: tf.raw_ops.ReluGrad(gradients=x - 1, features=x), REALS),
        (lambda x: tf.reshape(x[:0], (2, tf.size(x[:0]), 3)), REALS),
    ],
)
def test_operations_that_tf2onnx_does_not_convert_or_wrongly(function, x):
    import tf2onnx

    from tf4dvar.export.onnx_operations import HANDLERS

    call = tf.function(lambda x: {"y": function(x)}, autograph=False)
    converted, _ = tf2onnx.convert.from_function(
        call,
        input_signature=[tf.TensorSpec((None,), x.dtype, name="x")],
        opset=onnx.OPSET,
        custom_op_handlers=HANDLERS,
    )
    (y,) = onnxruntime.InferenceSession(converted.SerializeToString()).run(None, {"x": x})
    expected = call(tf.constant(x))["y"]
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)
