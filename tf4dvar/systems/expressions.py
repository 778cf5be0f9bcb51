"""Elementary expressions as trees of plain lists, computed with NumPy or TensorFlow.

A tree is the name of an operation and its arguments, `["Mul", ["Float", 2.0], ["Symbol", "x"]]`;
the names are those of SymPy. It may come from a file: what an operation does stands in the tables
here, no text of it becomes code, and its size is bounded.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial, reduce
from keyword import iskeyword
from typing import Any

import numpy as np
import scipy

from tf4dvar.errors import InputError, shown

Tree = tuple
"""A node that `parse` has looked at: its name, and as arguments nodes, texts and numbers."""

DEPTH = 100
# Of all trees together: TensorFlow makes an operation of each, and more of its gradient.
STEPS = 20_000
NAME_LENGTH = 100

CONSTANTS = {
    "Pi": math.pi,
    "Exp1": math.e,
    "EulerGamma": float(np.euler_gamma),
    "GoldenRatio": (1 + math.sqrt(5)) / 2,
}
RATIONAL = re.compile(r"(-?\d{1,300})(?:/(\d{1,300}))?", re.ASCII)

# The operations and how many arguments they take; None: one or more.
NUMBERS: dict[str, int | None] = {
    **dict.fromkeys(("Add", "Mul", "Max", "Min"), None),
    **dict.fromkeys(("Pow", "atan2"), 2),
    **dict.fromkeys(("exp", "log", "sin", "cos", "tan", "sec", "csc", "cot"), 1),
    **dict.fromkeys(("asin", "acos", "atan", "sinh", "cosh", "tanh"), 1),
    **dict.fromkeys(("asinh", "acosh", "atanh", "Abs", "sign", "floor", "ceiling", "erf"), 1),
}
COMPARISONS = ("StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan")
CONDITIONS: dict[str, int | None] = {
    **dict.fromkeys(COMPARISONS, 2),
    **{"And": None, "Or": None, "Not": 1, "BooleanTrue": 0, "BooleanFalse": 0},
}
# Exact, and with derivatives that are finite where those of a general power are not.
POWERS = {2.0: "square", -1.0: "reciprocal", 0.5: "sqrt"}


def parse(tree: Any, depth: int = 0) -> Any:
    """A tree of a file or of a user, looked at: nested tuples.

    Args:
        tree: nested lists.
        depth: how deep it stands in another.

    Raises:
        InputError: it is no tree, too deep, or has a name that is no identifier.
    """
    if depth and isinstance(tree, str | int | float):
        return tree
    if not (isinstance(tree, list | tuple) and tree and isinstance(tree[0], str)):
        raise InputError(
            f"Received the expression {shown(tree)}; expected a list of the name of an operation "
            "and its arguments."
        )
    if depth > DEPTH:
        raise InputError(
            f"Received an expression of more than {DEPTH} levels; write the right-hand side as a "
            "Python function."
        )
    name, *arguments = tree
    if name in ("Symbol", "Function"):
        named = len(arguments) == 1 if name == "Symbol" else len(arguments) > 1
        _check_name(arguments[0] if named else None)
    return (name, *(parse(argument, depth + 1) for argument in arguments))


def _check_name(name: Any) -> None:
    """Refuse what could not be an argument's name in Python."""
    if not (
        isinstance(name, str)
        and len(name) <= NAME_LENGTH
        and name.isidentifier()
        and not iskeyword(name)
    ):
        raise InputError(
            f"Received the name {shown(name)} of a variable or parameter; expected letters, "
            f"digits and underscores, {NAME_LENGTH} at most, and no word of Python's own."
        )


def words(tree: Any) -> str:
    """A tree as it is written by hand, short enough for a message.

    Args:
        tree: it, parsed.
    """
    if not isinstance(tree, tuple):
        return shown(tree)
    name, *arguments = tree
    if name in ("Symbol", "Float", "Rational", "S") and len(arguments) == 1:
        return str(arguments[0])[:NAME_LENGTH]
    if name == "Function":
        name, *arguments = arguments
    text = f"{name}({', '.join(map(words, arguments))})"
    return text if len(text) <= 80 else f"{text[:80]}..."


def walk(tree: Tree) -> Iterator[Tree]:
    """All nodes of a tree, itself first.

    Args:
        tree: it, parsed.
    """
    yield tree
    for argument in tree[1:]:
        if isinstance(argument, tuple):
            yield from walk(argument)


class Program:
    """Trees as a list of steps, in which what they share is computed once.

    Args:
        inputs: nodes whose values are given.
        trees: what is to be computed.

    Raises:
        InputError: an operation is not known, or has another number of arguments; a constant is
            no finite number; or there are too many steps.
    """

    def __init__(self, inputs: Sequence[Tree], trees: Sequence[Tree]):
        self._given = {tree: place for place, tree in enumerate(inputs)}
        self._found: dict[tuple[str, Any], int] = {}
        self._constants: dict[int, float] = {}
        # The operation of each, and the places of its arguments; of a constant the number.
        self._steps: list[tuple[str, Any]] = []
        self._outputs = [self._place(tree, self._number) for tree in trees]

    def __call__(self, values: Sequence[Any], dtype: Any = None) -> list[Any]:
        """The values of the trees.

        Args:
            values: of the inputs, arrays or tensors.
            dtype: of tensors; None where they are arrays.
        """
        operations = _of_numpy() if dtype is None else _of_tensorflow(dtype)
        found = list(values)
        for name, arguments in self._steps:
            if name == "Float":
                found.append(operations[name](arguments))
            else:
                found.append(operations[name](*(found[place] for place in arguments)))
        return [found[place] for place in self._outputs]

    def _place(self, tree: Any, kind: Callable[[str, Tree], int]) -> int:
        """Where the value of a tree is found; its kind is a number or a condition."""
        if tree in self._given:
            return self._given[tree]
        key = (kind.__name__, tree)
        if key not in self._found:
            self._found[key] = kind(tree[0] if isinstance(tree, tuple) else "", tree)
        return self._found[key]

    def _number(self, name: str, tree: Tree) -> int:
        if name in ("Float", "Rational", "S") and len(tree) == 2:
            return self._constant(_constant_of(name, tree[1]), tree)
        if name == "Piecewise":
            return self._pieces(tree)
        _check_arguments(name, tree, NUMBERS)
        places = [self._place(argument, self._number) for argument in tree[1:]]
        constants = [self._constants.get(place) for place in places]
        if None not in constants:
            with np.errstate(all="ignore"):
                return self._constant(_of_numpy()[name](*map(np.float64, constants)), tree)
        if name == "Pow" and constants[1] in POWERS:
            return self._step(POWERS[constants[1]], places[:1])
        return self._step(name, places)

    def _pieces(self, tree: Tree) -> int:
        # Where no condition holds there is no value, as in SymPy.
        place = self._step("Float", math.nan)
        for pair in reversed(tree[1:]):
            if not (isinstance(pair, tuple) and pair[0] == "ExprCondPair" and len(pair) == 3):
                raise InputError(f"Received the piece {words(pair)}; expected ExprCondPair.")
            condition = self._place(pair[2], self._condition)
            place = self._step("where", (condition, self._place(pair[1], self._number), place))
        return place

    def _condition(self, name: str, tree: Tree) -> int:
        _check_arguments(name, tree, CONDITIONS)
        kind = self._number if name in COMPARISONS else self._condition
        return self._step(name, [self._place(argument, kind) for argument in tree[1:]])

    def _constant(self, number: float, tree: Tree) -> int:
        if not math.isfinite(number):
            raise InputError(f"Received {words(tree)}; expected a constant that is finite.")
        place = self._step("Float", float(number))
        self._constants[place] = float(number)
        return place

    def _step(self, name: str, arguments: Any) -> int:
        if len(self._steps) == STEPS:
            raise InputError(
                f"Received expressions of more than {STEPS} operations; write the right-hand side "
                "as a Python function."
            )
        self._steps.append((name, arguments))
        return len(self._given) + len(self._steps) - 1


def _check_arguments(name: str, tree: Any, known: dict[str, int | None]) -> None:
    wanted = known.get(name, -1)
    count = len(tree) - 1 if isinstance(tree, tuple) else 0
    if not (count == wanted or (wanted is None and count)):
        raise InputError(
            f"Received {words(tree)} in an expression; expected an operation of "
            f"{', '.join(known)}. Write the right-hand side as a Python function."
        )


def _constant_of(name: str, value: Any) -> float:
    if name == "S" and value in CONSTANTS:
        return CONSTANTS[value]
    if name == "Float" and isinstance(value, int | float) and abs(value) < 1e300:
        return float(value)
    match = RATIONAL.fullmatch(value) if name == "Rational" and isinstance(value, str) else None
    if match and int(match[2] or 1):
        return int(match[1]) / int(match[2] or 1)
    raise InputError(
        f"Received the constant {name} {shown(value)}; expected a finite number, a fraction of "
        f"whole ones of 300 digits at most, or one of {', '.join(CONSTANTS)}."
    )


@cache
def _of_numpy() -> dict[str, Callable]:
    """What the operations do to arrays."""
    return {
        **{"Add": _over(operator.add), "Mul": _over(operator.mul), "Pow": np.power},
        **{"Max": _over(np.maximum), "Min": _over(np.minimum), "atan2": np.arctan2},
        **{"square": np.square, "reciprocal": lambda x: 1 / x, "sqrt": np.sqrt},
        **{"exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tan": np.tan},
        **{"sec": lambda x: 1 / np.cos(x), "csc": lambda x: 1 / np.sin(x)},
        **{"cot": lambda x: 1 / np.tan(x), "asin": np.arcsin, "acos": np.arccos},
        **{"atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh},
        **{"asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh},
        **{"Abs": np.abs, "sign": np.sign, "floor": np.floor, "ceiling": np.ceil},
        **{"erf": scipy.special.erf, "where": np.where, "Float": float},
        **{"BooleanTrue": lambda: True, "BooleanFalse": lambda: False, "Not": np.logical_not},
        **{"And": _over(np.logical_and), "Or": _over(np.logical_or)},
        **{"StrictLessThan": operator.lt, "LessThan": operator.le},
        **{"StrictGreaterThan": operator.gt, "GreaterThan": operator.ge},
    }


@cache
def _of_tensorflow(dtype: Any) -> dict[str, Callable]:
    """What they do to tensors of a type."""
    import tensorflow as tf

    return {
        **_of_numpy(),
        **{"Pow": tf.pow, "Max": _over(tf.maximum), "Min": _over(tf.minimum)},
        **{"atan2": tf.atan2, "square": tf.square, "sqrt": tf.sqrt, "exp": tf.exp},
        **{"log": tf.math.log, "sin": tf.sin, "cos": tf.cos, "tan": tf.tan},
        **{"sec": lambda x: 1 / tf.cos(x), "csc": lambda x: 1 / tf.sin(x)},
        **{"cot": lambda x: 1 / tf.tan(x), "asin": tf.asin, "acos": tf.acos, "atan": tf.atan},
        **{"sinh": tf.sinh, "cosh": tf.cosh, "tanh": tf.tanh, "asinh": tf.asinh},
        **{"acosh": tf.acosh, "atanh": tf.atanh, "Abs": tf.abs, "sign": tf.sign},
        **{"floor": tf.floor, "ceiling": tf.math.ceil, "erf": tf.math.erf, "where": tf.where},
        **{"Float": partial(tf.constant, dtype=dtype), "Not": tf.logical_not},
        **{"And": _over(tf.logical_and), "Or": _over(tf.logical_or)},
    }


def _over(function: Callable) -> Callable:
    """An operation of two arguments as one of any number."""
    return lambda *arguments: reduce(function, arguments)
