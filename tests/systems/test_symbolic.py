import json

import numpy as np
import pytest
import sympy
import tensorflow as tf
from scipy.integrate import quad

from tests.layers.layer_check import check_layer
from tf4dvar.errors import InputError
from tf4dvar.layers import RK4Flow, ode_layer
from tf4dvar.systems import System, trajectories
from tf4dvar.systems.symbolic import Equations

x, c, nu = sympy.symbols("x c nu")
u = sympy.Function("u")(x)
w = sympy.Function("w")(x)
LENGTH = 2 * np.pi


def advection_diffusion(points):
    return Equations({u: -c * u.diff(x) + nu * u.diff(x, 2)}, points, LENGTH)


def burgers(points):
    return Equations({u: -u * u.diff(x) + nu * u.diff(x, 2)}, points, LENGTH)


def travelling_wave(grid, time):
    """Advection at 1.5 and diffusion at 0.05 of the third Fourier mode."""
    return np.exp(-0.05 * 9 * time) * np.sin(3 * (grid - 1.5 * time))


def cole_hopf(grid, time, viscosity=0.2):
    """Burgers' equation from u = sin x (Cole 1951, Hopf 1950).

    u = -2 viscosity d(log h)/dx of a solution h of the heat equation.
    """
    spread = 4 * viscosity * time

    def integral(at, power):
        def integrand(y):
            heat = np.exp(-((at - y) ** 2) / spread - (1 - np.cos(y)) / (2 * viscosity))
            return heat * ((at - y) / time) ** power

        # Beyond, the Gaussian is next to nothing.
        reach = 8 * np.sqrt(spread)
        return quad(integrand, at - reach, at + reach, epsabs=1e-13, epsrel=1e-12, limit=200)[0]

    return np.array([integral(at, 1) / integral(at, 0) for at in grid])


CASES = {
    "advection-diffusion": (
        advection_diffusion,
        {"c": 1.5, "nu": 0.05},
        lambda grid: np.sin(3 * grid),
        travelling_wave,
    ),
    "burgers": (burgers, {"nu": 0.2}, np.sin, cole_hopf),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pde_converges_to_its_exact_solution_with_order_two(case):
    equations_of, parameters, start, exact = CASES[case]
    duration, errors = 1.0, []
    for points in (32, 64, 128):
        equations = equations_of(points)
        steps = 8 * points  # the error of time is next to nothing
        initial = start(equations.grid)[None]
        system = System(equations, time_step=duration / steps, initial=initial, **parameters)
        final = trajectories(system, initial, steps + 1)[0, -1]
        errors.append(np.abs(final - exact(equations.grid, duration)).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors[-1] < 0.02
    assert np.all(np.abs(orders - 2) < 0.15), (errors, orders)


@pytest.mark.parametrize("case", CASES)
def test_tensors_and_arrays_give_the_same_and_a_layer_keeps_it(case, rng, tmp_path):
    equations_of, parameters, *_ = CASES[case]
    equations = equations_of(16)
    states = rng.normal(size=(2, 5, 16))
    system = System(equations, time_step=0.01, initial=states[0], **parameters)
    ode = ode_layer(equations, dtype="float64", **parameters)
    np.testing.assert_allclose(ode(states), system.tendency(states), rtol=1e-11, atol=1e-11)
    prior = RK4Flow(ode_layer(equations, **parameters), 0.01)
    check_layer(prior, states.astype("float32"), tmp_path=tmp_path)


def test_differences_are_exact_where_they_should_be():
    """On Fourier modes a centred difference is a multiplication."""
    k, points = 3, 24
    h = LENGTH / points
    equations = Equations({u: u.diff(x), w: u.diff(x, 2) + w.diff(x, 3)}, points, LENGTH)
    assert equations.components[0] == "u0"
    assert equations.components[-1] == "w23"
    sine, cosine = np.sin(k * equations.grid), np.cos(k * equations.grid)
    slopes = equations(np.concatenate([sine, cosine]))
    first = np.sin(k * h) / h
    second = 2 * (np.cos(k * h) - 1) / h**2
    third = (np.sin(2 * k * h) - 2 * np.sin(k * h)) / h**3
    np.testing.assert_allclose(slopes[:points], first * cosine, atol=1e-10)
    np.testing.assert_allclose(slopes[points:], (second - third) * sine, atol=1e-10)


def test_the_coordinate_constants_and_numbers_may_appear():
    equations = Equations({u: sympy.sin(x) * sympy.pi + sympy.Rational(1, 3), w: c}, 8, LENGTH)
    state = np.zeros((2, 16))
    expected = np.concatenate([np.pi * np.sin(equations.grid) + 1 / 3, np.full(8, 2.0)])
    np.testing.assert_allclose(equations(state, c=2.0), [expected, expected], atol=1e-12)
    np.testing.assert_allclose(equations(tf.constant(state), c=2.0), equations(state, c=2.0))


def test_a_file_holds_them_as_data():
    positive = sympy.Symbol("p", positive=True)
    equations = Equations({u: sympy.exp(-u) / positive + 0.1 * sympy.pi * u.diff(x, 2)}, 8, 2.0)
    config = json.loads(json.dumps(equations.to_config()))
    twin = Equations.from_config(config)
    assert twin.to_config() == config
    state = np.linspace(-1, 1, 8)
    np.testing.assert_array_equal(twin(state, p=3.0), equations(state, p=3.0))


@pytest.mark.parametrize("name", ["sympify", "lambdify", "preview", "__builtins__", "os"])
def test_a_file_can_call_nothing_but_expressions(name):
    config = {"rates": [[["Symbol", "x"], [name, ["Symbol", "x"]]]], "points": 1, "length": 1.0}
    with pytest.raises(InputError, match=rf"Received {name}\(x\) in an expression"):
        Equations.from_config(config)


def test_mistakes_are_named():
    t, y = sympy.symbols("t y")
    for rates, settings, message in (
        ({u: u.diff(x)}, {}, "three points or more"),
        ({x: -x}, {"points": 8}, "a variable on a grid is a function"),
        ({u: u, y: y}, {"points": 8}, "all symbols, or all functions"),
        ({}, {}, "equations of nothing"),
        ({u: w}, {"points": 8}, r"unknown functions \['w\(x\)'\]"),
        ({u: w.diff(x)}, {"points": 8}, "expected derivatives of u"),
        (
            {u: sympy.Derivative(sympy.Function("u")(t), t)},
            {"points": 8},
            "in the grid's coordinate alone",
        ),
    ):
        with pytest.raises(InputError, match=message):
            Equations(rates, **settings)
    with pytest.raises(InputError, match="missing a required"):
        ode_layer(burgers(8))
