"""The Lorenz-96 system."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tf4dvar.systems.drawn_plan import DrawnPlan, MixedPlan
from tf4dvar.systems.observation_plan import ObservationPlan
from tf4dvar.systems.system import System
from tf4dvar.systems.tendency import library_of

# Every other component.
EVEN = tuple(range(0, 40, 2))


@dataclass(frozen=True)
class Lorenz96(System):
    """Lorenz (1996), forty components on a circle (eq. 16); dimensionless.

    dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F

    Args:
        forcing: F, per unit of time; 8 is chaotic.
    """

    forcing: float = 8.0

    name = "l96"
    components = tuple(f"x{i}" for i in range(1, 41))
    time_step = 0.05
    spin_up = 1000
    test_windows = 256
    protocols: ClassVar = {
        "T": ObservationPlan(tuple(range(40)), every=4, noise_variance=2.0, drawn=20),
        "C": ObservationPlan(tuple(range(40)), every=4, noise_variance=2.0, drawn=20, shared=True),
        "any": DrawnPlan(
            subsets=(tuple(range(40)),),
            every=(2, 8),
            noise_variance=(0.5, 4.0),
            edge=(0, 8),
            share=(0.2, 1.0),
            by_number=True,
        ),
        # Those of benchmarks of filters, see `tf4dvar.cycling.settings`.
        "cycles": MixedPlan((ObservationPlan(tuple(range(40)), every=1, noise_variance=1.0),)),
        "cycles-half": MixedPlan((ObservationPlan(EVEN, every=1, noise_variance=2.25),)),
        "cycles-rare": MixedPlan((ObservationPlan(EVEN, every=8, noise_variance=0.5),)),
    }

    def rates(self, state: Any) -> Any:
        """dx/dt of a state [..., component]."""
        roll = library_of(state).roll
        one_on, one_back, two_back = (roll(state, shift, axis=-1) for shift in (-1, 1, 2))
        return (one_on - two_back) * one_back - state + self.forcing

    def initial_states(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random states [count, 40] around the unstable rest x = F."""
        return self.forcing + rng.normal(size=(count, len(self.components)))
