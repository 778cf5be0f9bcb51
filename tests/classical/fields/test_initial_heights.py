import numpy as np
import pytest

from tests.finite_differences import directional_derivative
from tf4dvar.classical.fields.initial_heights import InitialHeights
from tf4dvar.layers import QuasiGeostrophicFlow, QuasiGeostrophicODE

SIZE, TIMES, PARTS = (8, 8), 4, 2


def cost_of(layers, modes, rng):
    """Of three time steps of half a day."""
    ode = QuasiGeostrophicODE(30e3, layers, dtype="float64")
    kx, ky = np.meshgrid(np.arange(5), 8 * np.fft.fftfreq(8))
    decay = 0.1 * np.exp(-(kx**2 + ky**2) / 4)
    root = decay * np.array([[1.0, 0.0], [0.5, 0.3]])[:layers, :layers, None, None]
    forcing = (decay[None, None] / 5, rng.normal(size=(TIMES - 1, modes))) if modes else ()
    return ode, InitialHeights(ode, root, (TIMES, *SIZE), 0.5, PARTS, *forcing)


@pytest.mark.parametrize(("layers", "modes"), [(1, 0), (1, 2), (2, 0), (2, 1)])
def test_its_gradient_is_that_of_finite_differences(layers, modes, rng):
    _, cost = cost_of(layers, modes, rng)
    control, direction = rng.normal(size=(2, cost.size))
    values = rng.normal(size=(TIMES, *SIZE))
    weights = 100.0 * (rng.random(values.shape) < 0.3)
    _, gradient = cost(control, values, weights)
    expected = directional_derivative(lambda v: cost(v, values, weights)[0], control, direction)
    assert gradient @ direction == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_its_value_is_that_of_its_trajectory_which_follows_the_flow(layers, rng):
    ode, cost = cost_of(layers, 0, rng)
    control = rng.normal(size=cost.size)
    heights = cost.trajectory(control)
    assert heights.shape == (TIMES, layers, *SIZE)
    flow = QuasiGeostrophicFlow(ode, 0.5, PARTS, dtype="float64")
    states = np.moveaxis(heights, 1, -1)[None]
    np.testing.assert_allclose(flow(states), states, atol=1e-12)
    values, weights = rng.normal(size=(TIMES, *SIZE)), rng.random((TIMES, *SIZE))
    misfit = (weights * (heights[:, 0] - values) ** 2).sum()
    value, _ = cost(control, values, weights)
    assert value == pytest.approx((control @ control + misfit) / 2, rel=1e-12)


def test_a_forcing_is_added_to_the_surface_in_the_steps_of_its_time(rng):
    """Of a state at rest, a weak forcing that is uniform in space only lifts the surface."""
    ode = QuasiGeostrophicODE(30e3, 2, dtype="float64")
    modes = np.array([[0.0], [1.0], [-3.0]])
    root = np.ones((2, 2, 8, 5))
    cost = InitialHeights(ode, root, (4, *SIZE), 0.5, 2, np.ones((1, 1, 8, 5)), modes)
    control = np.zeros((3, *SIZE))
    control[2] = 1e-3
    heights = cost.trajectory(control)
    expected = 1e-3 * np.array([0.0, 0.0, 0.5, -1.0])
    np.testing.assert_allclose(heights[:, 0], np.ones(SIZE) * expected[:, None, None], atol=1e-12)
    np.testing.assert_allclose(heights[:, 1], 0.0, atol=1e-12)
