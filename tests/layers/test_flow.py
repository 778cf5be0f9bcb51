import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests.layers.layer_check import check_layer
from tf4dvar.layers import EulerFlow, Lorenz63ODE, RK4Flow
from tf4dvar.systems import Lorenz63

STATE = np.array([1.0, 2.0, 20.0])


def advance(flow_class, steps, duration):
    flow = flow_class(Lorenz63ODE(dtype="float64"), duration / steps, dtype="float64")
    state = STATE[None, None]
    for _ in range(steps):
        state = flow(np.concatenate([state, state], axis=1)).numpy()[:, 1:]
    return state[0, 0]


@pytest.mark.parametrize(("flow_class", "order"), [(EulerFlow, 1), (RK4Flow, 4)])
def test_order_of_convergence(flow_class, order):
    duration = 0.08
    exact = solve_ivp(
        lambda _, x: Lorenz63().tendency(x), (0, duration), STATE, rtol=1e-12, atol=1e-12
    ).y[:, -1]
    errors = [np.abs(advance(flow_class, n, duration) - exact).max() for n in (8, 16, 32)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - order) < 0.35), orders


def test_predicts_each_time_from_the_one_before_and_keeps_the_first(rng):
    states = rng.normal(size=(2, 7, 3)) * 10
    flow = RK4Flow(Lorenz63ODE(dtype="float64"), 0.01, dtype="float64")
    prediction = flow(states).numpy()
    np.testing.assert_array_equal(prediction[:, 0], states[:, 0])
    np.testing.assert_allclose(prediction[:, 1:], Lorenz63().step(states[:, :-1]), rtol=1e-12)
    np.testing.assert_allclose(flow.step(states[:, :-1]), prediction[:, 1:], rtol=1e-12)


@pytest.mark.parametrize("flow_class", [EulerFlow, RK4Flow])
def test_layer(flow_class, rng, tmp_path):
    states = rng.normal(size=(2, 7, 3)).astype("float32") * 10
    check_layer(flow_class(Lorenz63ODE(), 0.01), states, tmp_path=tmp_path)


def test_a_step_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="time_step=0"):
        RK4Flow(Lorenz63ODE(), 0)
