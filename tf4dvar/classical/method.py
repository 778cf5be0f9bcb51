"""What every classical method is: settings that tell themselves, and an analysis of a problem."""

from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NoReturn, get_args, get_origin, get_type_hints

import numpy as np

from tf4dvar.classical.analysis import Analysis, Progress, report_convergence
from tf4dvar.classical.problem import Problem
from tf4dvar.data import check_states
from tf4dvar.errors import InputError, shown
from tf4dvar.registry import Entry

METHODS: dict[str, type["Method"]] = {}
"""The classical methods by name; a method is here as soon as its class is defined."""


def setting(default: Any, help: str, *, at_least: int | None = None, positive: bool = False) -> Any:
    """A field of `Settings`: it is an argument, and an option of the method's command.

    Args:
        default: its value if nothing is said.
        help: what it is, one sentence.
        at_least: the smallest value.
        positive: whether it has to be above zero.
    """
    return field(
        default=default, metadata={"help": help, "at_least": at_least, "positive": positive}
    )


@dataclass(frozen=True)
class Settings(Entry):
    """What a method is told: a frozen dataclass of fields made by `setting`, each checked.

    Types are int, float, bool, str and `Literal` of names; or one of them or None. Other fields are
    given in Python alone.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for each in self.settings():
            _check(each, hints[each.name], getattr(self, each.name))

    @classmethod
    def settings(cls) -> list[Field]:
        """The fields made by `setting`."""
        return [each for each in fields(cls) if each.metadata]

    def refuse(self, what: str, trait: str) -> NoReturn:
        """Refuse a part of a problem that the method would not use.

        Args:
            what: it.
            trait: of the methods that take it.

        Raises:
            InputError: always.
        """
        takers = ", ".join(name for name, each in self.registry.items() if getattr(each, trait))
        raise InputError(f"The method {self.name} takes no {what}; those that do: {takers}.")


@dataclass(frozen=True)
class Method(Settings):
    """A classical method of data assimilation: a frozen dataclass of its settings.

    A subclass gives `name` and `solve`. With that it is in `METHODS`, so that
    `tf4dvar assimilate` and `tf4dvar compare` know it; the first paragraph of its docstring is
    what the command says of it.

    Usage:

        from dataclasses import dataclass
        from tf4dvar.classical import Analysis, METHODS, Method, setting

        @dataclass(frozen=True)
        class Constant(Method):
            \"\"\"The same value everywhere.\"\"\"

            name = "constant"
            value: float = setting(0.0, "The value.")

            def solve(self, problem, progress):
                states = np.full(problem.shape, self.value)
                count = len(states)
                progress(count, count)
                once = np.ones(count, int)
                return Analysis(states, np.zeros(count), once, once.astype(bool))

        del METHODS["constant"]  # an example only
    """

    registry = METHODS
    takes_first_guess: ClassVar[bool] = False
    takes_background: ClassVar[bool] = False
    """Whether what is known of the first state counts."""
    needs_dynamics: ClassVar[bool] = True
    """Whether the commands refuse data of no known system."""
    failure: ClassVar[tuple[str, ...]] = ()
    """What is logged of windows that did not converge, see `report_convergence`."""

    def analyse(self, problem: Problem, progress: Progress | None = None) -> Analysis:
        """Reconstruct the windows of a problem; those that did not converge are logged.

        Args:
            problem: the windows.
            progress: called with the windows (or steps) done and their number.

        Raises:
            InputError: the problem does not fit the method, or a state is not finite.
        """
        if problem.first_guess is not None and not self.takes_first_guess:
            self.refuse("first guess", "takes_first_guess")
        analysis = self.solve(problem, progress or (lambda done, total: None))
        report_convergence(analysis.converged, *self.failure)
        check_states(
            analysis.states,
            f"{self.name} diverges there. Look at the units of the observations and at the "
            "settings",
        )
        return analysis

    def solve(self, problem: Problem, progress: Progress) -> Analysis:
        """The analysis itself; arguments as for `analyse`."""
        raise NotImplementedError


def _check(each: Field, hint: Any, value: Any) -> None:
    """Refuse a setting that is of another type or out of its bounds."""
    types = get_args(hint) or (hint,)
    if (value is None and type(None) in types) or (
        # What an array has to be is known where it is used.
        isinstance(value, np.ndarray) and np.ndarray in types
    ):
        return
    if get_origin(hint) is Literal:
        fits, expected = value in types, f"one of {', '.join(types)}"
    elif str in types:
        fits, expected = isinstance(value, str), "a text"
    elif bool in types:
        fits, expected = isinstance(value, bool | np.bool_), "True or False"
    else:
        kind, expected = (Integral, "an integer") if int in types else (Real, "a finite number")
        number = isinstance(value, kind) and not isinstance(value, bool)
        fits = number and bool(np.isfinite(float(value)))
    least, positive = each.metadata["at_least"], each.metadata["positive"]
    if least is not None:
        fits, expected = fits and value >= least, f"{expected} of {least} or more"
    if positive:
        fits, expected = fits and value > 0, expected.replace("a finite", "a positive, finite")
    if not fits:
        raise InputError(f"Received {each.name}={shown(value)}; expected {expected}.")
