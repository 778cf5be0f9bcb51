"""The contract of a dynamical system dx/dt = f(x)."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np


class System(ABC):
    """An autonomous dynamical system, simulated with NumPy alone.

    Attributes:
        name: short name, as on the command line.
        components: names of the state's components.
        units: units of each component.
        time_step: integration step of the paper's experiments, in units of time.
    """

    name: ClassVar[str]
    components: ClassVar[tuple[str, ...]]
    units: ClassVar[str] = "1"
    time_step: ClassVar[float]

    @abstractmethod
    def tendency(self, state: np.ndarray) -> np.ndarray:
        """Right-hand side dx/dt of a state [..., component], per unit of time."""

    @abstractmethod
    def initial_states(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random states [count, component] near the attractor, from which to spin up."""
