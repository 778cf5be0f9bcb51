import numpy as np
import pytest

from tests.finite_differences import directional_derivative
from tf4dvar.classical import one_step_model
from tf4dvar.errors import InputError
from tf4dvar.experiments import true_flow
from tf4dvar.layers import GENN
from tf4dvar.systems import Lorenz63, trajectories


@pytest.fixture(params=["flow", "circle_flow"])
def case(request, rng):
    """A model, and states [batch, time, component] around its attractor."""
    flow = request.getfixturevalue(request.param)
    components = 3 if request.param == "flow" else 8
    model = one_step_model(flow, components)
    return model, rng.normal(3.0, 6.0, size=(4, 7, components))


def test_tangent_agrees_with_finite_differences(case, rng):
    model, states = case
    for _ in range(3):
        direction = rng.normal(size=states.shape)
        expected = directional_derivative(model.forecast, states, direction)
        found = model.tangent(states, direction)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_adjoint_is_the_transpose_of_the_tangent(case, rng):
    model, states = case
    v, w = rng.normal(size=(2, *states.shape))
    left = np.sum(model.tangent(states, v) * w, axis=-1)
    right = np.sum(v * model.adjoint(states, w), axis=-1)
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-12)


def test_jacobians_hold_the_tangents(case, rng):
    model, states = case
    direction = rng.normal(size=states.shape)
    products = np.einsum("...ij,...j->...i", model.jacobians(states), direction)
    np.testing.assert_allclose(products, model.tangent(states, direction), rtol=1e-10, atol=1e-12)


def test_forecast_and_trajectory_are_the_system(flow, windows):
    model, truth = one_step_model(flow, 3), windows["truth"].values[:5]
    following = Lorenz63().step(truth[:, :-1])
    np.testing.assert_allclose(model.forecast(truth[:, :-1]), following, rtol=1e-12)
    for steps in (1, 2, 51, 120):
        found = model.trajectory(truth[:, 0], steps)
        expected = trajectories(Lorenz63(), truth[:, 0], steps)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_refuses_what_does_not_step_in_double_precision():
    with pytest.raises(InputError, match=r"GENN.*weak-lbfgs takes any prior"):
        one_step_model(GENN(dtype="float64"), 3)
    with pytest.raises(InputError, match="float32"):
        one_step_model(true_flow("l63"), 3)
