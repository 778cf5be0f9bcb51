"""Observation plans: what of a window is observed, when, and how well."""

import json
from dataclasses import asdict, dataclass

import numpy as np

from tf4dvar.errors import InputError


@dataclass(frozen=True)
class ObservationPlan:
    """Which components are observed, every how many steps, with what noise.

    Attributes:
        components: indices of the observed components.
        every: number of steps between observed times, which are its multiples.
        noise_variance: variance of the Gaussian noise, in squared units of the state.
        edge: number of steps at each end of the window with no observation.
    """

    components: tuple[int, ...]
    every: int
    noise_variance: float
    edge: int = 0

    def __post_init__(self) -> None:
        if self.every < 1 or self.edge < 0 or not self.noise_variance >= 0:
            raise InputError(
                f"Received {self}; expected every >= 1, edge >= 0 and noise_variance >= 0."
            )

    def mask(self, steps: int, components: int) -> np.ndarray:
        """True where observed, [time, component]."""
        if not set(self.components) <= set(range(components)):
            raise InputError(
                f"The plan observes the components {self.components}; "
                f"the state has {components}, counted from 0."
            )
        times = np.arange(0, steps, self.every)
        times = times[(times >= self.edge) & (times < steps - self.edge)]
        mask = np.zeros((steps, components), bool)
        mask[np.ix_(times, np.array(self.components, int))] = True
        return mask

    def observe(self, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Noisy, partial observations of true states, NaN where nothing is observed.

        Args:
            truth: [window, time, component].
            rng: where the noise comes from.

        Returns:
            Same shape.
        """
        noise = np.sqrt(self.noise_variance) * rng.normal(size=truth.shape)
        return np.where(self.mask(*truth.shape[1:]), truth + noise, np.nan)

    def to_json(self) -> str:
        """The plan as JSON, as written into the attributes of a data set."""
        return json.dumps(asdict(self))


PROTOCOLS: dict[str, dict[str, ObservationPlan]] = {
    "l63": {
        "T": ObservationPlan(components=(0,), every=8, noise_variance=2.0),
        "C": ObservationPlan(components=(0,), every=8, noise_variance=2.0, edge=10),
    }
}
"""The paper's plans by system: T as its text describes, C as its published code does."""


def protocol_plan(system: str, protocol: str) -> ObservationPlan:
    """The observation plan of a system's protocol, "T" or "C"."""
    plans = PROTOCOLS[system]
    if protocol not in plans:
        raise InputError(f"Received the protocol {protocol!r}; {system} has: {', '.join(plans)}.")
    return plans[protocol]
