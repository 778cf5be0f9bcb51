"""Right-hand sides as SymPy expressions: ODEs, and PDEs on a periodic grid.

SymPy is optional: `pip install '.[symbolic]'`.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import sympy
from sympy.core.function import AppliedUndef

from tf4dvar.errors import InputError


class Equations:
    """d/dt of each variable as an expression; a function `f(state, **parameters)`.

    It serves `tf4dvar.systems.System` and `tf4dvar.layers.ode_layer` alike: it computes with
    NumPy on arrays and with TensorFlow on tensors. What an expression holds besides the
    variables is a parameter.

    A variable u(x) is a field on a periodic grid, u(x + length) = u(x). Its derivatives in x
    become centred finite differences of second order, so that a PDE becomes an ODE of the
    values at the grid's points (the method of lines; PDE-NetGen, doi:10.5194/gmd-13-3373-2020,
    generates networks in this way).

    Args:
        rates: d/dt by variable: all of them symbols, or all of them functions u(x) of one x.
        points: of the grid. The state's components are the values of the first field at all
            points, then those of the next.
        length: of the period.

    Usage:

        x, v, g, d = sympy.symbols("x v g d")
        pendulum = Equations({x: v, v: -g * sympy.sin(x) - d * v})
        ode = ode_layer(pendulum, g=9.81, d=0.1)

        s, nu = sympy.symbols("s nu")
        u = sympy.Function("u")(s)
        burgers = Equations({u: -u * u.diff(s) + nu * u.diff(s, 2)}, points=64, length=2.0)
    """

    def __init__(
        self, rates: Mapping[sympy.Expr, sympy.Expr], points: int = 1, length: float = 1.0
    ):
        self.rates = {variable: sympy.sympify(rate).doit() for variable, rate in rates.items()}
        self.points = points
        self.length = float(length)
        self._space = _space(self.rates, points, length)
        found = set().union(*(rate.atoms(sympy.Derivative) for rate in self.rates.values()))
        derivatives = sorted(found, key=sympy.default_sort_key)
        for derivative in derivatives:
            if derivative.expr not in self.rates or set(derivative.variables) != {self._space}:
                raise InputError(
                    f"Received the derivative {derivative}; expected derivatives of "
                    f"{', '.join(map(str, self.rates))} in the grid's coordinate alone."
                )
        self._stencils = [
            (each.expr, _stencil(int(each.derivative_count), self.length / points))
            for each in derivatives
        ]
        places = {term: sympy.Dummy() for term in (*self.rates, *derivatives)}
        expressions = [rate.xreplace(places) for rate in self.rates.values()]
        unknown = set().union(*(e.atoms(AppliedUndef) for e in expressions))
        if unknown:
            raise InputError(
                f"Received the unknown functions {sorted(map(str, unknown))}; "
                "give an equation for each."
            )
        symbols = set().union(*(e.free_symbols for e in expressions))
        parameters = symbols - set(places.values()) - {self._space}
        self._parameters = sorted(parameters, key=str)
        coordinate = self._space or sympy.Dummy()
        self._arguments = [*places.values(), coordinate, *self._parameters]
        self._expressions = expressions
        self._function = cache(self._lambdify)
        self.__name__ = "equations"
        self.__signature__ = inspect.Signature(
            [inspect.Parameter("state", inspect.Parameter.POSITIONAL_ONLY)]
            + [
                inspect.Parameter(str(parameter), inspect.Parameter.KEYWORD_ONLY)
                for parameter in self._parameters
            ]
        )

    @property
    def components(self) -> tuple[str, ...]:
        """Names: of the variables, with the number of the grid's point where there is one."""
        if self._space is None:
            return tuple(map(str, self.rates))
        return tuple(f"{u.func}{i}" for u in self.rates for i in range(self.points))

    @property
    def grid(self) -> np.ndarray:
        """Coordinates of the points, [point]."""
        return np.arange(self.points) * (self.length / self.points)

    def __call__(self, state: Any, **parameters: Any) -> Any:
        """dx/dt of a state [..., component], same shape and library."""
        on_arrays = isinstance(state, np.ndarray)
        library: Any = np if on_arrays else import_module("tensorflow")
        concatenate = np.concatenate if on_arrays else library.concat
        fields = dict(zip(self.rates, library.split(state, len(self.rates), -1), strict=True))
        slopes = [
            sum(weight * library.roll(fields[u], -offset, -1) for offset, weight in stencil)
            for u, stencil in self._stencils
        ]
        values = [parameters[str(parameter)] for parameter in self._parameters]
        grid = library.cast(self.grid, state.dtype) if not on_arrays else self.grid
        rates = self._function(library.__name__)(*fields.values(), *slopes, grid, *values)
        # A rate may be a mere number.
        return concatenate(
            [library.zeros_like(u) + rate for u, rate in zip(fields.values(), rates, strict=True)],
            -1,
        )

    def _lambdify(self, library: str) -> Any:
        return sympy.lambdify(
            self._arguments, self._expressions, modules=library, cse=True, dummify=True
        )

    def to_config(self) -> dict[str, Any]:
        """As plain lists and numbers, for a file."""
        rates = [[_to_lists(term) for term in pair] for pair in self.rates.items()]
        return {"rates": rates, "points": self.points, "length": self.length}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Equations":
        """The equations of `to_config`; a file's text is never evaluated as code."""
        rates = dict(tuple(map(_from_lists, pair)) for pair in config["rates"])
        return cls(rates, config["points"], config["length"])


def _space(rates: Mapping, points: int, length: float) -> sympy.Symbol | None:
    """The coordinate that the fields share, None of an ODE."""
    arguments = {variable.args for variable in rates}
    if arguments == {()} and all(isinstance(variable, sympy.Symbol) for variable in rates):
        if points != 1:
            raise InputError(
                f"Received points={points} for the symbols {', '.join(map(str, rates))}; "
                "a variable on a grid is a function, sympy.Function('u')(x)."
            )
        return None
    shared: tuple = arguments.pop() if len(arguments) == 1 else ()
    if len(shared) != 1 or not all(isinstance(u, AppliedUndef) for u in rates):
        raise InputError(
            f"Received equations of {', '.join(map(str, rates)) or 'nothing'}; expected "
            "variables that are all symbols, or all functions of one and the same coordinate."
        )
    if points < 3 or not length > 0:
        raise InputError(
            f"Received points={points}, length={length}; "
            "expected three points or more and a positive length."
        )
    return shared[0]


def _stencil(order: int, step: float) -> list[tuple[int, float]]:
    """Offsets and weights of the centred difference of second order."""
    width = (order + 1) // 2
    offsets = list(range(-width, width + 1))
    weights = sympy.finite_diff_weights(order, offsets, 0)[-1][-1]
    return [
        (offset, float(weight) / step**order)
        for offset, weight in zip(offsets, weights, strict=True)
        if weight
    ]


def _to_lists(term: sympy.Basic) -> list:
    """An expression as a tree of lists, each the name of an operation and its arguments."""
    if isinstance(term, sympy.Symbol):
        return ["Symbol", term.name]
    if isinstance(term, sympy.Rational):
        return ["Rational", str(term)]
    if isinstance(term, sympy.Float):
        return ["Float", float(term)]
    if isinstance(term, sympy.NumberSymbol):
        return ["S", type(term).__name__]
    if isinstance(term, AppliedUndef):
        return ["Function", str(term.func), *map(_to_lists, term.args)]
    _operation(type(term).__name__)
    return [type(term).__name__, *map(_to_lists, term.args)]


def _from_lists(tree: list) -> sympy.Basic:
    name, *arguments = tree
    if name == "Symbol":
        return sympy.Symbol(arguments[0])
    if name == "Rational":
        return sympy.Rational(arguments[0])
    if name == "Float":
        return sympy.Float(arguments[0])
    if name == "S":
        return getattr(sympy.S, arguments[0])
    if name == "Function":
        return sympy.Function(arguments[0])(*map(_from_lists, arguments[1:]))
    return _operation(name)(*map(_from_lists, arguments))


def _operation(name: str) -> Any:
    """SymPy's class of expressions of that name; nothing else can be called by a file."""
    operation = getattr(sympy, name, None)
    if not (isinstance(operation, type) and issubclass(operation, (sympy.Expr, sympy.Tuple))):
        raise InputError(
            f"The operation {name!r} cannot be kept in a file; "
            "write the right-hand side as a Python function."
        )
    return operation
