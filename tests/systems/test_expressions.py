import json
import time

import numpy as np
import pytest
import sympy
import tensorflow as tf
from hostile_equations import GOOD, equations

from tf4dvar.errors import InputError
from tf4dvar.systems.expressions import NUMBERS
from tf4dvar.systems.symbolic import Equations

x, y = sympy.symbols("x y", real=True)
a = sympy.Symbol("a", positive=True)

ELEMENTARY = {
    "Add": x + y + 1,
    "Mul": 3 * x * y,
    "Max": sympy.Max(x, y, 0.2),
    "Min": sympy.Min(x, y),
    "Pow": (x + 2) ** sympy.Rational(5, 3) + (y + 2) ** x + 2**x,
    "atan2": sympy.atan2(x, y),
    **{
        name: getattr(sympy, name)(x)
        for name, arguments in NUMBERS.items()
        if arguments == 1 and name not in ("acosh", "log")
    },
    "acosh": sympy.acosh(x + 2),
    "log": sympy.log(x + 2),
    "square": (x + y) ** 2,
    "reciprocal": 1 / (x + 3),
    "root": sympy.sqrt(y + 4) + 1 / sympy.sqrt(x + 5),
    "cube": x**3 - y**-3,
    "constants": sympy.pi * x + sympy.E + sympy.Rational(1, 7) + sympy.EulerGamma,
    "a number": sympy.Integer(3),
    "pieces": sympy.Piecewise(
        (x**2, x < 0), (sympy.sin(y), sympy.And(x >= 0.3, y <= 0)), (y, True)
    ),
    "otherwise": sympy.Piecewise((x, sympy.Or(x > 0, sympy.Not(y > 0))), (2, True)),
}
# Within the domain of all of them, and of both signs.
POINTS = np.random.default_rng(0).uniform(-0.9, 0.9, (20, 2))


@pytest.mark.parametrize("name", ELEMENTARY)
def test_values_are_those_of_sympy_and_derivatives_too(name):
    expression = ELEMENTARY[name]
    function = Equations({x: expression, y: y})

    def exact(of):
        return np.array([float(of.subs({x: p, y: q}).evalf(20)) for p, q in POINTS])

    expected = exact(sympy.sympify(expression))
    np.testing.assert_allclose(function(POINTS)[:, 0], expected, rtol=1e-13, atol=1e-13)
    points = tf.constant(POINTS)
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = function(points)[:, 0]
    np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-13)
    if name not in ("floor", "ceiling", "sign", "Max", "Min", "a number"):
        slope = exact(expression.diff(x))
        gradient = tape.gradient(value, points)[:, 0]
        np.testing.assert_allclose(gradient, slope, rtol=1e-11, atol=1e-11)
    twin = Equations.from_config(json.loads(json.dumps(function.to_config())))
    np.testing.assert_array_equal(twin(POINTS), function(POINTS))


def test_single_precision_stays_single():
    function = Equations({x: ELEMENTARY["pieces"] + 0.1 * x**2, y: sympy.pi})
    for points in (POINTS.astype("float32"), tf.constant(POINTS, "float32")):
        assert function(points).dtype == points.dtype


def test_what_is_shared_is_computed_once():
    wave = sympy.cosh(sympy.sin(x) + y)
    once = Equations({x: wave, y: y})._program._steps
    twice = Equations({x: wave, y: wave + wave**2})._program._steps
    assert len([name for name, _ in twice if name == "cosh"]) == 1
    assert len(twice) == len(once) + 3  # two, the square and the sum


def test_parameters_may_have_any_name_but_that_of_the_state():
    function = Equations({x: sympy.Symbol("self") * x, y: sympy.Symbol("library")})
    np.testing.assert_allclose(function(np.ones(2), self=2.0, library=3.0), [2.0, 3.0])
    with pytest.raises(InputError, match="named state"):
        Equations({x: sympy.Symbol("state")})


@pytest.mark.parametrize(
    "expression",
    [
        sympy.zeta(x),
        sympy.Sum(sympy.sin(y * x), (y, 0, a)),
        sympy.I * x,
        sympy.oo,
        sympy.Symbol("a b"),
        "x",
    ],
)
def test_what_is_not_elementary_is_refused_with_the_remedy(expression):
    with pytest.raises(InputError, match="expected"):
        Equations({x: expression})


def test_no_file_runs_anything_or_takes_long(tmp_path):
    """Payloads in every place where a text, a number or a tree can stand."""
    mark = tmp_path / "mark"
    refusals, slowest, computed = [], 0.0, 0
    for name, config in equations(mark):
        started = time.monotonic()
        try:
            function = Equations.from_config(config)
            state = np.ones((2, len(function.components)))
            values = {p: 1.0 for p in list(function.__signature__.parameters)[1:]}
            with np.errstate(all="ignore"):
                function(state, **values)
            computed += 1
        except InputError as error:
            refusals.append(str(error))
        slowest = max(slowest, time.monotonic() - started)
        assert not mark.exists(), name
    assert len(refusals) > 3000
    assert computed > 30
    assert max(map(len, refusals)) < 1000
    assert not any("\n" in refusal for refusal in refusals)
    assert slowest < 5


@pytest.mark.parametrize("name", ["an ODE", "a PDE", "pieces"])
def test_the_good_ones_among_them_are_computed(name):
    function = Equations.from_config(GOOD[name])
    parameters = dict.fromkeys(list(function.__signature__.parameters)[1:], 0.5)
    state = np.linspace(-1, 1, len(function.components))
    rates = function(state, **parameters)
    assert np.isfinite(rates).all()
    np.testing.assert_allclose(function(tf.constant(state), **parameters), rates, rtol=1e-13)


@pytest.mark.parametrize("name", ["_number", "_condition", "", "Tuple"])
def test_no_name_stands_for_what_was_computed_before(name):
    """An operation that is not known is refused, also beside the same arguments of a known one."""
    x, sine = ["Symbol", "x"], ["sin", ["Symbol", "x"]]
    config = {"rates": [[x, ["Add", sine, [name, sine]]]], "points": 1, "length": 1.0}
    with pytest.raises(InputError, match="expected an operation of"):
        Equations.from_config(config)
