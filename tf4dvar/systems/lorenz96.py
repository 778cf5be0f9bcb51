"""The Lorenz-96 system."""

from dataclasses import dataclass

import numpy as np

from tf4dvar.systems.system import System


@dataclass(frozen=True)
class Lorenz96(System):
    """Lorenz (1996), forty components on a circle (eq. 16); dimensionless.

    dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F
    """

    forcing: float = 8.0

    name = "l96"
    components = tuple(f"x{i}" for i in range(1, 41))
    time_step = 0.05
    spin_up = 1000

    def tendency(self, state: np.ndarray) -> np.ndarray:
        """dx/dt of a state [..., component]."""
        one_on, one_back, two_back = (np.roll(state, shift, axis=-1) for shift in (-1, 1, 2))
        return (one_on - two_back) * one_back - state + self.forcing

    def initial_states(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random states [count, 40] around the unstable rest x = F."""
        return self.forcing + rng.normal(size=(count, len(self.components)))
