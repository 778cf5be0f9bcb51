"""Dynamical systems dx/dt = f(x), or f(x, t) by what is known in time."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tf4dvar.errors import InputError, shown
from tf4dvar.registry import Entry
from tf4dvar.systems.drawn_plan import Plan
from tf4dvar.systems.tendency import (
    Components,
    Tendency,
    as_slopes,
    by_name,
    check_parameters,
    component_names,
    tendency_name,
)

Covariates = Mapping[str, Callable[[np.ndarray], Any]] | Sequence[str]
InitialStates = np.ndarray | Callable[[int, np.random.Generator], np.ndarray]

SYSTEMS: dict[str, type[Any]] = {}
"""The systems by their short names; a system is here as soon as its class is defined."""


class System(Entry):
    """A dynamical system, autonomous or forced, simulated with NumPy.

    Args:
        tendency: `f(state, **parameters)` with a state [..., component]: dx/dt, same shape, or
            the list of the components' tendencies. A function, or
            `tf4dvar.systems.symbolic.Equations`.
        time_step: integration step, in units of time; also the time between two states.
        initial: where trajectories begin: a function `(count, rng) -> [count, component]`, or
            states [state, component] of which each is used once at most.
        components: number or names of the components; the equations' own by default.
        units: of all components, or a tuple with those of each.
        time_units: units of time.
        spin_up: number of steps from the initial states to the beginning of a window, so that
            it begins on the attractor; 0 for a system that has none.
        name: short name, the function's own by default.
        covariates: arguments of the function that are known in time, as a forcing or the time
            itself: the function of time [...] of each by its name, or, where only data sets tell
            them, their names. The tendency gets each as an array [...] without the components.
        **parameters: of the function, by name.

    Usage:

        def predator_prey(state, growth, predation, decline):
            prey, predator = state[..., 0], state[..., 1]
            return [growth * prey - predation * prey * predator,
                    predation * prey * predator - decline * predator]

        system = System(
            predator_prey, components=("prey", "predator"), time_step=0.05,
            initial=lambda count, rng: rng.uniform(1.0, 3.0, (count, 2)),
            growth=1.0, predation=0.5, decline=0.8,
        )
        plan = ObservationPlan(components=(0,), every=5, noise_variance=0.01)
        windows = simulate_dataset(system, plan, 200, seed=7)

    A drag, and a wind that is known:

        def drift(state, wind, drag):
            return [drag * (wind - state[..., 0])]

        System(drift, components=("speed",), time_step=0.1, initial=np.zeros((1, 1)), drag=0.5,
               covariates={"wind": lambda time: 5.0 + np.sin(time)})

    A subclass may set the attributes and give `rates` and `initial_states` itself. With a `name` it
    is in `SYSTEMS`: the commands and `tf4dvar.experiments.true_flow` know it. Its `covariates` are
    names, which `rates` takes as arguments, and `covariates_at` is its own. Each of its arguments
    has a default then, and `rates` takes tensors too, as plain arithmetic does; for more see
    `tf4dvar.systems.tendency.library_of`.
    """

    registry = SYSTEMS
    name: str
    components: tuple[str, ...]
    time_step: float
    units: str | tuple[str, ...] = "1"
    time_units: str = "1"
    spin_up: int = 0
    covariates: tuple[str, ...] = ()
    """Names of what it depends on besides its state, known in time."""
    function: Tendency | None = None
    """The right-hand side that was given, with `parameters`; a subclass has none."""
    protocols: ClassVar[Mapping[str, Plan]] = {}
    """Observation plans by name, the first of them the default one."""
    test_windows: ClassVar[int] = 1000
    """Number of windows on which models are scored."""

    def __init__(
        self,
        tendency: Tendency,
        *,
        time_step: float,
        initial: InitialStates,
        components: Components = None,
        units: str | tuple[str, ...] = "1",
        time_units: str = "1",
        spin_up: int = 0,
        name: str | None = None,
        covariates: Covariates = (),
        **parameters: Any,
    ):
        check_parameters(tendency, {**parameters, **dict.fromkeys(covariates)})
        if not time_step > 0:
            raise InputError(f"Received time_step={time_step}; expected a positive number.")
        self.components = component_names(tendency, components)
        if not isinstance(units, str) and len(units) != len(self.components):
            raise InputError(
                f"Received the units {units} for the components {self.components}; "
                "expected one for all, or one each."
            )
        self.name = tendency_name(tendency) if name is None else name
        self.time_step = time_step
        self.units = units
        self.time_units = time_units
        self.spin_up = spin_up
        self.covariates = tuple(covariates)
        self.parameters = parameters
        self._covariates = covariates if isinstance(covariates, Mapping) else {}
        self.function = tendency
        self._initial = initial

    def tendency(self, state: Any, covariates: Any = None) -> Any:
        """Right-hand side dx/dt of a state [..., component], same shape, per unit of time.

        Args:
            state: [..., component].
            covariates: [..., covariate], of those that it has.
        """
        if covariates is None and not self.covariates:
            return as_slopes(self.rates(state), state, self.name)
        known = by_name(covariates, self.covariates, self.name, state)
        return as_slopes(self.rates(state, **known), state, self.name)

    # A subclass has its own covariates as arguments, or none.
    def rates(self, state: Any, *_: Any, **covariates: Any) -> Any:
        """The same as it is written: the list of the components' tendencies will do."""
        assert self.function is not None
        return self.function(state, **self.parameters, **covariates)

    def step(
        self,
        state: Any,
        time_step: float | None = None,
        covariates: tuple[Any, Any, Any] | None = None,
    ) -> Any:
        """The state one step later, by the classical fourth-order Runge-Kutta scheme.

        A subclass may have a scheme of its own; `tf4dvar.experiments.true_flow` goes by it, too.

        Args:
            state: [..., component].
            time_step: in units of time; the system's own by default.
            covariates: of a forced system, at the beginning, the middle and the end of the step,
                each [..., covariate].
        """
        h = self.time_step if time_step is None else time_step
        first, middle, last = ((), (), ()) if covariates is None else zip(covariates)
        k1 = self.tendency(state, *first)
        if isinstance(state, np.ndarray) and state.strides != k1.strides:
            # All that is added lies in memory alike.
            aligned = np.empty_like(k1)
            aligned[...] = state
            state = aligned
        k2 = self.tendency(state + h / 2 * k1, *middle)
        k3 = self.tendency(state + h / 2 * k2, *middle)
        k4 = self.tendency(state + h * k3, *last)
        return state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    @property
    def can_be_simulated(self) -> bool:
        """Whether its covariates are known at all times, or there are none."""
        own = type(self).covariates_at is not System.covariates_at
        return own or not self.covariates or bool(self._covariates)

    def covariates_at(self, times: np.ndarray) -> np.ndarray:
        """The covariates at times [...], [..., covariate].

        Raises:
            InputError: they are not known as functions of time.
        """
        if not self.can_be_simulated:
            raise InputError(
                f"{self.name} has the covariates {', '.join(self.covariates)}, which it does not "
                "know in time: it cannot be simulated. Give functions, covariates={name: function}."
            )
        times = np.asarray(times, "float64")
        values = [np.asarray(self._covariates[name](times), "float64") for name in self.covariates]
        return np.stack([np.broadcast_to(each, times.shape) for each in values], axis=-1)

    def with_time_step(self, time_step: float) -> "System":
        """The same with another time step, and a spin-up of the same time at least.

        Args:
            time_step: in units of time.
        """
        if time_step == self.time_step:
            return self
        if not 0 < time_step < math.inf:
            raise InputError(f"Received time_step={time_step}; expected a positive number.")
        other = copy.copy(self)
        spin_up = math.ceil(self.spin_up * self.time_step / time_step)
        # Some systems are frozen dataclasses.
        object.__setattr__(other, "time_step", time_step)
        object.__setattr__(other, "spin_up", spin_up)
        return other

    def initial_states(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """States [count, component] from which to spin up."""
        if callable(self._initial):
            states = np.asarray(self._initial(count, rng), "float64")
        else:
            given = np.atleast_2d(np.asarray(self._initial, "float64"))
            if count > len(given):
                raise InputError(
                    f"{self.name} has {len(given)} initial states, too few for {count} windows; "
                    "give more, or a function (count, rng) -> states that draws them."
                )
            states = rng.permutation(given)[:count]
        if states.shape != (count, len(self.components)):
            raise InputError(
                f"The initial states of {self.name} have the shape {states.shape}; expected "
                f"{(count, len(self.components))}, [state, component]."
            )
        return states


def system_by_name(name: str) -> System:
    """The system of that short name with its default parameters, the paper's.

    Args:
        name: a key of `SYSTEMS`.
    """
    if name not in SYSTEMS:
        raise InputError(f"Received the system {shown(name)}; known systems: {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]()
