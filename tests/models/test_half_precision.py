"""Under a policy of half precision physical units, the cost and its gradient stay in float32."""

import keras
import numpy as np
import pytest

from tests.layers.test_observation_operators import Speed
from tests.models.test_users_layers import Network
from tf4dvar.errors import InputError
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    ConvCell,
    GradientSolver,
    Lorenz96ODE,
    LSTMCell,
    PeriodicGENN,
    RK4Flow,
    SegmentCell,
)
from tf4dvar.models import FourDVarNet

POLICIES = ("mixed_bfloat16", "mixed_float16", "float16", "bfloat16")
MODELS = {
    "genn": lambda: FourDVarNet(GENN(units=4), GradientSolver(LSTMCell(4), 2)),
    "flow": lambda: FourDVarNet(RK4Flow(Lorenz96ODE(), 1e-9), GradientSolver(ConvCell((2, 2)), 2)),
    "plane": lambda: FourDVarNet(
        PeriodicGENN(4, 3), GradientSolver(SegmentCell(width=4), 2, recompute=True)
    ),
    "user": lambda: FourDVarNet(
        keras.Sequential([Network(), keras.layers.Dense(4)]),
        GradientSolver(LSTMCell(4), 2),
        first_guess=AttentionFirstGuess(width=8, depth=1, heads=1),
    ),
}


@pytest.fixture
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.fixture
def pressures(rng):
    truth = 101325 + 800 * rng.normal(size=(6, 12, 4)).cumsum(axis=1)
    return np.where(rng.random(truth.shape) < 0.5, truth, np.nan).astype("float32"), truth


@pytest.mark.long
@pytest.mark.parametrize("policy", POLICIES, indirect=True)
@pytest.mark.parametrize("name", MODELS)
def test_models_train_on_pressures(name, policy, pressures, tmp_path):
    model = MODELS[name]()
    model.adapt(*pressures)
    model.compile("sgd", metrics=["mae"], run_eagerly=True)
    losses = model.fit(*pressures, batch_size=6, epochs=1, verbose=0).history
    assert all(np.isfinite(value).all() for value in losses.values())
    states = model.predict(pressures[0], verbose=0)
    assert states.dtype == "float32"
    steps = np.diff(np.unique(states))
    assert steps[steps > 0].min() < 1  # of bfloat16 they are 512
    gradient, cost = model.cost_gradient(*model._prepare(pressures[0]))
    assert gradient.dtype == cost.dtype == "float32"
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(pressures[0], verbose=0), states)


@pytest.mark.long
@pytest.mark.parametrize("policy", POLICIES, indirect=True)
def test_what_is_observed_is_not_rounded(policy, pressures):
    model = FourDVarNet(GENN(units=4), GradientSolver(LSTMCell(4), iterations=0))
    model.adapt(*pressures)
    observed = np.isfinite(pressures[0])
    for states in (model.predict(pressures[0], verbose=0), model(pressures[0]).numpy()):
        np.testing.assert_allclose(states[observed], pressures[0][observed], rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16"], indirect=True)
def test_half_precision_is_near_single(policy, pressures):
    half = MODELS["genn"]()
    keras.config.set_dtype_policy("float32")
    single = MODELS["genn"]()
    for model in (half, single):
        model.adapt(*pressures)
    for ours, theirs in zip(half.weights, single.weights, strict=True):
        theirs.assign(ours)
    deviation = single.normalisation.std.numpy()
    difference = (half(pressures[0]) - single(pressures[0])) / deviation
    assert 0 < np.abs(difference).max() < 0.05


@pytest.mark.parametrize("policy", ["mixed_bfloat16"], indirect=True)
def test_a_users_layer_in_physical_units_is_asked_for_float32(policy):
    guess = AttentionFirstGuess(components=3)
    with pytest.raises(InputError, match=r"Speed of dtype mixed_bfloat16.*dtype='float32'"):
        FourDVarNet(
            GENN(units=4),
            GradientSolver(LSTMCell(4)),
            first_guess=guess,
            observation=Speed(),
        )
    with pytest.raises(InputError, match=r"Dense of dtype mixed_bfloat16.*dtype='float32'"):
        RK4Flow(keras.layers.Dense(3), 0.01)
