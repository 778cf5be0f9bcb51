"""The Lorenz-63 system."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tf4dvar.systems.drawn_plan import DrawnPlan, MixedPlan
from tf4dvar.systems.observation_plan import ObservationPlan
from tf4dvar.systems.system import System


@dataclass(frozen=True)
class Lorenz63(System):
    """Lorenz (1963), doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2; dimensionless.

    Eq. 15 of the paper, whose first line is misprinted there: it is sigma (x2 - x1).

    Args:
        sigma, rho, beta: the parameters, per unit of time; the chaotic ones by default.
    """

    sigma: float = 10.0
    rho: float = 28.0
    beta: float = 8.0 / 3.0

    name = "l63"
    components = ("x", "y", "z")
    time_step = 0.01
    spin_up = 1000
    test_windows = 2000
    protocols: ClassVar = {
        "C": ObservationPlan(components=(0,), every=8, noise_variance=2.0, edge=10),
        "T": ObservationPlan(components=(0,), every=8, noise_variance=2.0),
        # Half of the windows observe x alone.
        "any": DrawnPlan(
            subsets=((0,),) * 6 + ((1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)),
            every=(4, 16),
            noise_variance=(0.5, 8.0),
            edge=(0, 16),
            missing=0.4,
            irregular=0.2,
            # The signs of x and y: 51.6 on the average, where x alone leaves 0.7.
            hard=(((2,), 70.0),),
        ),
        # That of a benchmark of filters, see `tf4dvar.cycling.settings`.
        "cycles": MixedPlan((ObservationPlan((0, 1, 2), every=25, noise_variance=2.0),)),
    }

    def rates(self, state: Any) -> list[Any]:
        """dx/dt, dy/dt and dz/dt of a state [..., 3]."""
        x, y, z = state[..., 0], state[..., 1], state[..., 2]
        return [self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z]

    def initial_states(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random states [count, 3] around the attractor's centre."""
        return rng.normal(size=(count, 3)) * 5.0 + [0.0, 0.0, 25.0]
