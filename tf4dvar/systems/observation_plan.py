"""Observation plans: what of a window is observed, when, and how well."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tf4dvar.errors import InputError


@dataclass(frozen=True)
class ObservationPlan:
    """Which components are observed, every how many steps, with what noise.

    Attributes:
        components: indices of the observed components.
        every: number of steps between observed times.
        noise_variance: variance of the Gaussian noise, in squared units of the state.
        edge: number of steps at each end of the window with no observation.
        drawn: how many of `components` are observed at a time, drawn at random; all by default.
        shared: whether all windows of a data set share one draw (the paper's published code)
            instead of having their own.
        phase: the first observed step, less than `every`.
    """

    components: tuple[int, ...]
    every: int
    noise_variance: float
    edge: int = 0
    drawn: int | None = None
    shared: bool = False
    phase: int = 0

    def __post_init__(self) -> None:
        if self.every < 1 or self.edge < 0 or not 0 <= self.noise_variance < np.inf:
            raise InputError(
                f"Received {self}; expected every >= 1, edge >= 0 and noise_variance >= 0, finite."
            )
        if not 0 <= self.phase < self.every:
            raise InputError(
                f"Received phase={self.phase}; expected 0 to {self.every - 1}, less than the "
                f"{self.every} steps between observed times."
            )
        if self.drawn is not None and not 1 <= self.drawn <= len(self.components):
            raise InputError(
                f"Received drawn={self.drawn}; expected 1 to {len(self.components)}, "
                "the number of components to draw from."
            )

    def changed(self, **parts: Any) -> "ObservationPlan":
        """With other attributes.

        Args:
            **parts: by name.
        """
        return replace(self, **parts)

    def weights(self, inputs: Any) -> None:
        """By which squares of windows count in a training: all the same.

        Args:
            inputs: of `inputs`.
        """

    @property
    def largest_noise(self) -> float:
        """The variance of the noise, of all windows."""
        return self.noise_variance

    def inputs(self, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What a model is given of true states: `observe`.

        Args:
            truth, rng: as there.
        """
        return self.observe(truth, rng)

    def mask(self, steps: int, components: int) -> np.ndarray:
        """True where observed, or where it may be if components are drawn, [time, component]."""
        if not set(self.components) <= set(range(components)):
            raise InputError(
                f"The plan observes the components {self.components}; "
                f"the state has {components}, counted from 0."
            )
        times = np.arange(self.phase, steps, self.every)
        times = times[(times >= self.edge) & (times < steps - self.edge)]
        mask = np.zeros((steps, components), bool)
        mask[np.ix_(times, np.array(self.components, int))] = True
        return mask

    def observe(self, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Noisy, partial observations of true states, NaN where nothing is observed.

        Args:
            truth: [window, time, component].
            rng: where the noise and the drawn components come from.

        Returns:
            Same shape.
        """
        noise = np.sqrt(self.noise_variance) * rng.normal(size=truth.shape)
        mask = self.mask(*truth.shape[1:])
        if self.drawn is not None:
            mask = self._draw(self.drawn, mask, 1 if self.shared else len(truth), rng)
        return np.where(mask, truth + noise, np.nan)

    def _draw(
        self, drawn: int, mask: np.ndarray, windows: int, rng: np.random.Generator
    ) -> np.ndarray:
        """As many masks, each keeping `drawn` of the components at each observed time."""
        times = np.flatnonzero(mask.any(axis=1))
        kept = np.arange(len(self.components)) < drawn
        kept = rng.permuted(np.tile(kept, (windows, len(times), 1)), axis=-1)
        masks = np.zeros((windows, *mask.shape), bool)
        masks[:, times[:, None], np.array(self.components, int)] = kept
        return masks

    def to_json(self) -> str:
        """The plan as JSON, as written into the attributes of a data set."""
        return json.dumps(asdict(self))
