"""Equations as a file holds them, with something ill meant in every place."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from damage import nodes, replace

X, Y, S = ["Symbol", "x"], ["Symbol", "y"], ["Symbol", "s"]
U = ["Function", "u", S]
ONE = ["Rational", "1"]

GOOD: dict[str, dict[str, Any]] = {
    "an ODE": {
        "rates": [
            [X, ["Add", ["Mul", ["Float", -0.5], X], ["sin", ["Mul", ["S", "Pi"], Y]]]],
            [Y, ["Mul", ["Symbol", "a"], ["Pow", X, ["Rational", "2"]]]],
        ],
        "points": 1,
        "length": 1.0,
    },
    "a PDE": {
        "rates": [
            [
                U,
                [
                    "Add",
                    ["Mul", ["Rational", "-1"], U, ["Derivative", U, ["Tuple", S, ONE]]],
                    ["Derivative", U, ["Tuple", S, ["Rational", "2"]]],
                ],
            ]
        ],
        "points": 8,
        "length": 2.0,
    },
    "pieces": {
        "rates": [
            [
                X,
                [
                    "Piecewise",
                    ["ExprCondPair", ["exp", X], ["LessThan", X, ["Float", 0.0]]],
                    ["ExprCondPair", ["Max", X, ["Symbol", "a"]], ["BooleanTrue"]],
                ],
            ]
        ],
        "points": 1,
        "length": 1.0,
    },
    # No elementary operations: they are refused, whatever their symbols are called.
    "a sum": {
        "rates": [
            [
                X,
                [
                    "Sum",
                    ["Mul", ["Symbol", "k"], X],
                    ["Tuple", ["Symbol", "k"], ONE, ["UnevaluatedExpr", ["Symbol", "a"]]],
                ],
            ]
        ],
        "points": 1,
        "length": 1.0,
    },
    "an integral": {
        "rates": [[X, ["Integral", ["Symbol", "k"], ["Tuple", ["Symbol", "k"], ONE, X]]]],
        "points": 1,
        "length": 1.0,
    },
    "a function of its own": {
        "rates": [[X, ["Lambda", ["Tuple", ["Symbol", "k"]], ["Symbol", "k"]]]],
        "points": 1,
        "length": 1.0,
    },
}

TEN = ["Rational", "10"]
HANGS: dict[str, Any] = {
    "a tower of powers": ["Pow", TEN, ["Pow", TEN, TEN]],
    "a power of a power": ["Pow", ["Pow", TEN, TEN], ["Pow", TEN, TEN]],
    "a factorial": ["factorial", ["Rational", "100000000"]],
    "a number of many digits": ["Rational", "9" * 10**6],
    "a fraction of many digits": ["Rational", "1/" + "9" * 10**6],
    "an exponent of many digits": ["Pow", X, ["Rational", "9" * 10**6]],
    "a float beyond": ["Float", 1e400],
    "no number": ["Float", float("nan")],
    "a division by zero": ["Pow", ["Float", 0.0], ["Rational", "-1"]],
    "a fraction by zero": ["Rational", "1/0"],
    "many terms": ["Add", *(["sin", ["Mul", ["Float", float(k)], X]] for k in range(50_000))],
    "a derivative of a high order": ["Derivative", X, ["Tuple", X, ["Rational", "100000000"]]],
}


def payloads(mark: Path) -> list[Any]:
    """Texts that would make a file of that name if they were run, and what else may hurt."""
    run = f"__import__('os').system('touch {mark}')"
    return [
        *(run, f"[0][{run}]", f"x, {run}", f"x)\n{run}#", f"lambda: {run}", f"{{{run}}}"),
        *(f"x if {run} else x", f"1/{run}", f"os>system('touch {mark}')", f"%({run})s"),
        *("lambda", "None", "__builtins__", "self", "state", "", " ", "x.__class__", "\x00", "x\n"),
        *("lambdify", "sympify", "eval", "exec", "Symbol", "Function", "Derivative", "e" * 10**5),
        *(True, None, -1, 2**70, 1e300, float("inf"), [], {}, [[]], ["Symbol"], ["Symbol", run]),
    ]


def equations(mark: Path) -> Iterator[tuple[str, Any]]:
    """All of them, some thousands, each with a name.

    Args:
        mark: the file that would be there if one of them had run.
    """
    for name, good in GOOD.items():
        for path in nodes(good):
            for payload in payloads(mark):
                yield f"{name}, at {path}: {payload!r:.80}", replace(good, path, payload)
    for name, tree in HANGS.items():
        yield name, replace(GOOD["an ODE"], ("rates", 0, 1), tree)
    deep = copy.copy(X)
    for _ in range(500):
        deep = ["sin", deep]
    yield "many levels", replace(GOOD["an ODE"], ("rates", 0, 1), deep)
