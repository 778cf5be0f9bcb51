"""The quasi-geostrophic ODE and flow beside the system in NumPy of the same equations."""

from itertools import islice

import numpy as np
import pytest
import tensorflow as tf
from scipy import fft

from tests.finite_differences import directional_derivative
from tf4dvar.layers import QuasiGeostrophicFlow, QuasiGeostrophicODE, RK4Flow
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.systems.quasi_geostrophic import DAY, GRAVITY

F64 = {"dtype": "float64"}
SETTINGS = {
    "deformation_radius": 40e3,
    "beta": 2e-11,
    "flows": (0.08, -0.01),
    "drag": 2e-6,
    "thickness_ratio": 0.4,
    "coriolis": 0.9e-4,
}
POINTS, LENGTH = 32, 640e3


def system_of(layers, **changes):
    return QuasiGeostrophic(layers=layers, points=POINTS, length=LENGTH, **(SETTINGS | changes))


def ode_of(layers, **changes):
    return QuasiGeostrophicODE(LENGTH / POINTS, layers, **(SETTINGS | F64 | changes))


def eddies(system):
    """A state of two members, with speeds of some decimetres a second."""
    state = system.initial(2, np.random.default_rng(1))
    return state * 0.2 / np.sqrt(2 * system.energy(state))[:, None, None, None]


def heights(system, state):
    """As the layers take them, [member, 1, y, x, layer]."""
    streams = fft.irfft2(system.stream_function(state))
    return system.coriolis / GRAVITY * np.moveaxis(streams, 1, -1)[:, None]


@pytest.mark.parametrize("layers", [1, 2])
def test_its_slopes_are_those_of_the_system(layers):
    system = system_of(layers)
    state = eddies(system)
    expected = DAY * heights(system, system.rates(state))
    slopes = ode_of(layers)(heights(system, state))
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    single = ode_of(layers, dtype="float32")(heights(system, state))
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("layers", [1, 2])
def test_its_flow_is_that_of_the_system_to_the_order_of_the_scheme(layers):
    system = system_of(layers, filtered=False, time_step=225.0)
    state = eddies(system)
    exact = heights(system, next(islice(system.days(state), 1, None)))
    errors = []
    for parts in (4, 8):
        flow = RK4Flow(ode_of(layers), 1 / parts, **F64)
        after = heights(system, state)
        flow.build(after.shape)
        for _ in range(parts):
            after = flow.step(after)
        errors.append(np.abs(after - exact).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.6)
    assert errors[1] < 1e-4 * np.abs(exact).max()


@pytest.mark.parametrize("layers", [1, 2])
def test_a_filtered_day_is_that_of_the_system(layers):
    system = system_of(layers)
    state = eddies(system)
    before, after = (heights(system, each) for each in islice(system.days(state), 2))
    flow = QuasiGeostrophicFlow(ode_of(layers), parts=24, **F64)
    predicted = flow(np.concatenate([before, after], axis=1))[:, 1:]
    moved = np.abs(after - before).max()
    np.testing.assert_allclose(predicted, after, rtol=0, atol=1e-3 * moved)


@pytest.mark.parametrize("layers", [1, 2])
def test_its_adjoint_is_that_of_finite_differences(layers, rng):
    system = system_of(layers)
    state = heights(system, eddies(system))
    flow = QuasiGeostrophicFlow(ode_of(layers), parts=3, **F64)
    flow.build(state.shape)
    direction, residual = rng.normal(size=(2, *state.shape))
    direction *= 0.1
    _, adjoint = flow.step_with_adjoint(tf.constant(state))
    forward = directional_derivative(flow.step, state, direction, 1e-4)
    expected = (forward * residual).sum()
    assert (adjoint(tf.constant(residual)).numpy() * direction).sum() == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("layers", [1, 2])
def test_its_numbers_are_learned_from_slopes(layers):
    system = system_of(layers)
    state = heights(system, eddies(system))
    truth = ode_of(layers)(state)
    ode = ode_of(layers, deformation_radius=45e3, beta=1.5e-11, flows=(0.05, 0.0), drag=1e-6)
    ode.build(state.shape)
    (numbers,) = ode.trainable_variables
    assert numbers.shape == (5,)

    def misfit():
        return tf.reduce_sum((ode(state) - truth) ** 2)

    with tf.GradientTape() as tape:
        value = misfit()
    gradient = tape.gradient(value, numbers.value)
    at = numbers.numpy()
    for direction in np.eye(5):

        def of(point):
            numbers.assign(point)
            return misfit()

        derivative = directional_derivative(of, at, direction, 1e-4)
        assert (gradient * direction).numpy().sum() == pytest.approx(
            float(derivative), rel=1e-5, abs=1e-6 * float(value)
        )
    assert not ode_of(layers, trainable=False).trainable_variables


def test_the_mean_of_the_heights_stays_and_changes_nothing():
    system = system_of(2)
    state = heights(system, eddies(system))
    flow = QuasiGeostrophicFlow(ode_of(2), **F64)
    flow.build(state.shape)
    np.testing.assert_allclose(flow.step(state + 1.0), flow.step(state) + 1.0, atol=1e-9)


def test_a_box_need_not_be_square_nor_even(rng):
    """A wave along x is the same one in a narrower box."""
    wave = np.sin(2 * np.pi * np.arange(15) / 15)[:, None]
    wide = np.broadcast_to(wave, (1, 1, 15, 15, 1))
    ode = ode_of(1)
    np.testing.assert_allclose(ode(wide)[:, :, :9], ode_of(1)(wide[:, :, :9]), atol=1e-9)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ode_of(3), "layers=3"),
        (lambda: QuasiGeostrophicODE(-1.0), "spacing=-1.0"),
        (lambda: ode_of(2)(np.zeros((1, 1, 8, 8, 1))), "expected .batch, time, y, x, 2."),
        (lambda: ode_of(2)(np.zeros((1, 3, 2))), "expected .batch, time, y, x, 2."),
        (lambda: QuasiGeostrophicFlow(ode_of(2), parts=0), "parts=0"),
        (lambda: QuasiGeostrophicFlow(ode_of(2), parts=2**31 - 1), "expected 1 to 1000"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
