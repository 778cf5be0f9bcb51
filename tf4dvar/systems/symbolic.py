"""Right-hand sides as SymPy expressions: ODEs, and PDEs on a periodic grid.

SymPy is optional: `pip install '.[symbolic]'` in a checkout. Equations that a file holds are
computed without it.
"""

import inspect
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from tf4dvar.errors import InputError, shown
from tf4dvar.systems.expressions import Program, Tree, parse, walk, words
from tf4dvar.systems.tendency import library_of

# What a file may ask for: components of the state, and orders of derivatives as trees have them.
COMPONENTS = 2**20
ORDERS = {("Rational", str(order)): order for order in range(1, 9)}


class Equations:
    """d/dt of each variable as an expression; a function `f(state, **parameters)`.

    It serves `tf4dvar.systems.System` and `tf4dvar.layers.ode_layer` alike: it computes with
    NumPy on arrays and with TensorFlow on tensors. What an expression holds besides the
    variables is a parameter. Expressions are elementary ones, see `tf4dvar.systems.expressions`.

    A variable u(x) is a field on a periodic grid, u(x + length) = u(x). Its derivatives in x
    become centred finite differences of second order, so that a PDE becomes an ODE of the
    values at the grid's points (the method of lines; PDE-NetGen, doi:10.5194/gmd-13-3373-2020,
    generates networks in this way).

    Args:
        rates: d/dt by variable: all of them symbols, or all of them functions u(x) of one x.
            Or pairs of trees, as `to_config` gives them.
        points: of the grid. The state's components are the values of the first field at all
            points, then those of the next.
        length: of the period.

    Raises:
        InputError: the equations are not closed or not elementary, a name is no identifier, or
            the grid is none.

    Usage:

        x, v, g, d = sympy.symbols("x v g d")
        pendulum = Equations({x: v, v: -g * sympy.sin(x) - d * v})
        ode = ode_layer(pendulum, g=9.81, d=0.1)

        s, nu = sympy.symbols("s nu")
        u = sympy.Function("u")(s)
        burgers = Equations({u: -u * u.diff(s) + nu * u.diff(s, 2)}, points=64, length=2.0)
    """

    def __init__(
        self,
        rates: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
        points: int = 1,
        length: float = 1.0,
    ):
        pairs = rates.items() if isinstance(rates, Mapping) else rates
        self._rates = dict(_pair(pair) for pair in pairs)
        self._space = _space(self._rates)
        _check_grid(self._rates, self._space, points, length)
        self.points = points
        self.length = float(length)
        nodes = [node for rate in self._rates.values() for node in walk(rate)]
        derivatives = sorted({node for node in nodes if node[0] == "Derivative"}, key=str)
        self._slopes = [self._slope(each) for each in derivatives]
        unknown = {words(n) for n in nodes if n[0] == "Function" and n not in self._rates}
        if unknown:
            raise InputError(
                f"Received the unknown functions {sorted(unknown)}; give an equation for each."
            )
        variables = [*self._rates, *([self._space] if self._space else [])]
        symbols = {node for node in nodes if node[0] == "Symbol"} - set(variables)
        self._parameters = sorted(name for _, name in symbols)
        if "state" in self._parameters:
            raise InputError("Received a parameter named state, as the state is; rename it.")
        inputs = [*variables, *derivatives, *(("Symbol", name) for name in self._parameters)]
        self._program = Program(inputs, list(self._rates.values()))
        self.__name__ = "equations"
        self.__signature__ = inspect.Signature(
            [inspect.Parameter("state", inspect.Parameter.POSITIONAL_ONLY)]
            + [
                inspect.Parameter(parameter, inspect.Parameter.KEYWORD_ONLY)
                for parameter in self._parameters
            ]
        )

    @property
    def components(self) -> tuple[str, ...]:
        """Names: of the variables, with the number of the grid's point where there is one."""
        names = [variable[1] for variable in self._rates]
        if self._space is None:
            return tuple(names)
        return tuple(f"{name}{i}" for name in names for i in range(self.points))

    @property
    def grid(self) -> np.ndarray:
        """Coordinates of the points, [point]."""
        return np.arange(self.points) * (self.length / self.points)

    def __call__(self, state: Any, /, **parameters: Any) -> Any:
        """dx/dt of a state [..., component], same shape and library."""
        library = library_of(state)
        dtype = None if library is np else state.dtype
        grid = self.grid if library is np else library.cast(self.grid, dtype)
        split = library.split(state, len(self._rates), -1)
        fields = dict(zip(self._rates, split, strict=True))
        slopes = [
            sum(weight * library.roll(fields[u], -offset, -1) for offset, weight in stencil)
            for u, stencil in self._slopes
        ]
        values = [*split, *([grid] if self._space else []), *slopes]
        # What is known in time has no axis of the components.
        rank = len(state.shape) - 1
        given = [parameters[name] for name in self._parameters]
        given = [
            each[..., None] if rank and len(np.shape(each)) == rank else each for each in given
        ]
        rates = self._program([*values, *given], dtype)
        # A rate may be a mere number.
        filled = [library.zeros_like(u) + rate for u, rate in zip(split, rates, strict=True)]
        return (np.concatenate if library is np else library.concat)(filled, -1)

    def to_config(self) -> dict[str, Any]:
        """As plain lists and numbers, for a file."""
        rates = [[_lists(variable), _lists(rate)] for variable, rate in self._rates.items()]
        return {"rates": rates, "points": self.points, "length": self.length}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Equations":
        """The equations of `to_config`; a file's text is never evaluated as code."""
        try:
            return cls(config["rates"], config["points"], config["length"])
        except (KeyError, TypeError) as error:
            raise InputError(
                f"Received equations that are damaged ({error!r}); expected rates, points, length."
            ) from error

    def _slope(self, derivative: Tree) -> tuple[Tree, list[tuple[int, float]]]:
        """The field, and offsets and weights of the centred difference of second order."""
        field, along = derivative[1:] if len(derivative) == 3 else (None, None)
        orders: dict[Any, int] = {
            ("Tuple", self._space, number): order for number, order in ORDERS.items()
        }
        order = orders.get(along, 0)
        if field not in self._rates or not order:
            raise InputError(
                f"Received the derivative {words(derivative)}; expected derivatives of "
                f"{', '.join(map(words, self._rates))} in the grid's coordinate alone, of an order "
                f"of {len(ORDERS)} at most."
            )
        weights = np.ones(1)
        for factor in [[1, -2, 1]] * (order // 2) + [[-0.5, 0, 0.5]] * (order % 2):
            weights = np.convolve(weights, factor)
        weights /= (self.length / self.points) ** order
        reach = len(weights) // 2
        return field, [(k - reach, float(weight)) for k, weight in enumerate(weights) if weight]


def _pair(pair: Any) -> tuple[Tree, Tree]:
    if not (isinstance(pair, list | tuple) and len(pair) == 2):
        raise InputError(f"Received {shown(pair)}; expected a variable and its rate.")
    variable, rate = pair
    return parse(_tree_of(variable)), parse(_tree_of(rate))


def _space(rates: Mapping[Tree, Tree]) -> Tree | None:
    """The coordinate that the fields share, None of an ODE."""
    kinds = {variable[0] for variable in rates}
    if kinds == {"Symbol"}:
        return None
    arguments = {variable[2:] for variable in rates}
    shared = arguments.pop() if len(arguments) == 1 else ()
    symbols = [each for each in shared if isinstance(each, tuple) and each[0] == "Symbol"]
    if kinds != {"Function"} or not len(shared) == len(symbols) == 1:
        raise InputError(
            f"Received equations of {', '.join(map(words, rates)) or 'nothing'}; expected "
            "variables that are all symbols, or all functions of one and the same coordinate."
        )
    return symbols[0]


def _check_grid(rates: Mapping[Tree, Tree], space: Tree | None, points: Any, length: Any) -> None:
    if space is None and points != 1:
        raise InputError(
            f"Received points={shown(points)} for the symbols {', '.join(map(words, rates))}; a "
            "variable on a grid is a function, sympy.Function('u')(x)."
        )
    most = COMPONENTS // len(rates)
    whole = isinstance(points, int | np.integer)
    positive = isinstance(length, int | float | np.number) and 1e-30 < length < 1e30
    if not (whole and positive and (space is None or 3 <= points <= most)):
        raise InputError(
            f"Received points={shown(points)}, length={shown(length)}; expected three points or "
            f"more, {most} at most, and a positive length."
        )


def _tree_of(term: Any) -> Any:
    """A SymPy expression as nested lists; what is none as it is."""
    if isinstance(term, list | tuple):
        return term
    if isinstance(term, Real):
        return ["Float", float(term)]
    import sympy

    return _tree_of_sympy(term.doit()) if isinstance(term, sympy.Basic) else term


def _tree_of_sympy(term: Any) -> list:
    import sympy
    from sympy.core.function import AppliedUndef

    if isinstance(term, sympy.Symbol):
        return ["Symbol", term.name]
    if isinstance(term, sympy.Rational):
        return ["Rational", str(term)]
    if isinstance(term, sympy.Float | sympy.NumberSymbol):
        return ["Float", float(term)]
    name = str(term.func) if isinstance(term, AppliedUndef) else None
    arguments = map(_tree_of_sympy, term.args)
    return [type(term).__name__, *arguments] if name is None else ["Function", name, *arguments]


def _lists(tree: Any) -> Any:
    return [_lists(each) for each in tree] if isinstance(tree, tuple) else tree
