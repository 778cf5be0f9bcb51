"""Plans that observe every window in another way."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tf4dvar.errors import InputError
from tf4dvar.systems.observation_plan import ObservationPlan


@dataclass(frozen=True)
class DrawnPlan:
    """Patterns and noise drawn for each window: what a model for any of them is trained on.

    Attributes:
        subsets: indices of components of which a window observes those of one, drawn; what stands
            twice is drawn twice as often.
        every: least and largest number of steps between observed times.
        edge: of the steps at each end of the window without observation; the first observation is
            where the first ends.
        missing: largest share of the observed times that is left out; of half of the windows none.
        irregular: share of the windows whose times are random, as many as they would be.
        share: of the components that are observed at a time, drawn at each.
        noise_variance: of the Gaussian noise, the same in a window, its logarithm is uniform.
        hard: subsets of which nobody can tell much, and how many times the least squares of their
            errors are those of others.
        by_number: whether windows of which more is observed count as many times as much.

    Usage:

        from tf4dvar.systems import random_stream
        from tf4dvar.systems.drawn_plan import DrawnPlan

        plan = DrawnPlan(subsets=((0,), (0, 1)), every=(2, 4), noise_variance=(0.5, 2.0))
        drawn = plan.inputs(np.zeros((9, 50, 3)), random_stream("example", 0))
        assert np.isnan(drawn["observations"][..., 2]).all()
        assert drawn["noise_variance"].shape == (9, 50, 3)
    """

    subsets: tuple[tuple[int, ...], ...]
    every: tuple[int, int]
    noise_variance: tuple[float, float]
    edge: tuple[int, int] = (0, 0)
    missing: float = 0.0
    irregular: float = 0.0
    share: tuple[float, float] = (1.0, 1.0)
    hard: tuple[tuple[tuple[int, ...], float], ...] = ()
    by_number: bool = False

    def __post_init__(self) -> None:
        pairs = (self.every, 1), (self.edge, 0), (self.share, 0), (self.noise_variance, 0)
        ordered = all(least <= low <= high for (low, high), least in pairs)
        shares = (self.missing, self.irregular, self.share[1])
        if not (ordered and self.subsets and min(self.noise_variance) > 0 and max(shares) <= 1):
            raise InputError(
                f"Received {self}; expected pairs of a least and a largest number, every of 1 or "
                "more, shares of 1 at most, a positive noise_variance, and some subsets."
            )

    def changed(self, **parts: object) -> "DrawnPlan":
        """Itself: it draws what others are given.

        Args:
            **parts: none.
        """
        _refuse_parts(parts)
        return self

    @property
    def largest_noise(self) -> float:
        """The largest variance of the noise."""
        return self.noise_variance[1]

    def inputs(self, truth: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """What a model is given of true states.

        Args:
            truth: [window, time, component].
            rng: where all that is drawn comes from.

        Returns:
            `observations`, NaN where nothing is observed, and the `noise_variance` of each.
        """
        windows, steps, components = truth.shape
        if any(component >= components for subset in self.subsets for component in subset):
            raise InputError(
                f"The plan observes some of the components {self.subsets}; the state has "
                f"{components}, counted from 0."
            )
        low, high = np.log(self.noise_variance)
        variance = np.exp(rng.uniform(low, high, (windows, 1, 1)))
        chosen = np.zeros((len(self.subsets), components), bool)
        for row, subset in zip(chosen, self.subsets, strict=True):
            row[list(subset)] = True
        mask = self._times(windows, steps, rng)[..., None] & rng.choice(chosen, windows)[:, None]
        share = rng.uniform(*self.share, size=(windows, 1, 1))
        mask &= rng.random(truth.shape) < share
        noise = np.sqrt(variance) * rng.normal(size=truth.shape)
        return {
            "observations": np.where(mask, truth + noise, np.nan),
            "noise_variance": np.broadcast_to(variance, truth.shape),
        }

    def weights(self, inputs: Any) -> np.ndarray:
        """By which squares of windows count in a training, [window].

        The least errors are about as large as the noise, times what is hard of a subset: else
        windows of which nobody can tell much would be most of what is trained on.

        Args:
            inputs: of `inputs`.
        """
        weights = 1 / inputs["noise_variance"][:, 0, 0]
        observed = ~np.isnan(inputs["observations"])
        if self.by_number:
            weights = weights * observed.mean(axis=(1, 2))
        seen = observed.any(axis=1)
        for subset, times in self.hard:
            others = np.setdiff1d(np.arange(seen.shape[1]), subset)
            weights[~seen[:, others].any(axis=1)] /= times
        return weights

    def _times(self, windows, steps, rng):
        """Which are observed, [window, time]."""
        every = rng.integers(self.every[0], self.every[1], (windows, 1), endpoint=True)
        first, last = rng.integers(*self.edge, (2, windows, 1), endpoint=True)
        times = np.arange(steps)
        inside = (times >= first) & (times < steps - last)
        observed = inside & ((times - first) % every == 0)
        # As many, at random: those of the smallest of numbers drawn inside.
        keys = np.where(inside, rng.random(observed.shape), np.inf)
        ranks = keys.argsort(axis=1).argsort(axis=1)
        irregular = rng.random((windows, 1)) < self.irregular
        observed = np.where(irregular, ranks < observed.sum(axis=1, keepdims=True), observed)
        missing = np.maximum(rng.uniform(-self.missing, self.missing, (windows, 1)), 0)
        return observed & (rng.random(observed.shape) >= missing)

    def to_json(self) -> str:
        """The plan as JSON, as written into the attributes of a data set."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class MixedPlan:
    """Several plans in turn: what a filter of several observing systems is trained on.

    Attributes:
        plans: of the first window, of the second, and so on, and again from the first.

    Usage:

        from tf4dvar.systems import random_stream
        from tf4dvar.systems.drawn_plan import MixedPlan

        plan = MixedPlan((ObservationPlan((0,), 1, 2.0), ObservationPlan((1,), 4, 0.5)))
        drawn = plan.inputs(np.zeros((2, 8, 2)), random_stream("example", 0))
        assert (~np.isnan(drawn["observations"])).sum(axis=1).tolist() == [[8, 0], [0, 2]]
    """

    plans: tuple[ObservationPlan, ...]

    def __post_init__(self) -> None:
        if not self.plans:
            raise InputError("Received no plans; expected one or more.")

    def changed(self, **parts: object) -> "MixedPlan":
        """Itself: it mixes what others are given.

        Args:
            **parts: none.
        """
        _refuse_parts(parts)
        return self

    @property
    def largest_noise(self) -> float:
        """The largest variance of the noise."""
        return max(plan.noise_variance for plan in self.plans)

    def inputs(self, truth: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """What a model is given of true states; see `DrawnPlan.inputs`.

        Args:
            truth, rng: as there.
        """
        observations, variance = np.empty_like(truth), np.empty_like(truth)
        for number, plan in enumerate(self.plans):
            rows = slice(number, None, len(self.plans))
            observations[rows] = plan.observe(truth[rows], rng)
            variance[rows] = plan.noise_variance
        return {"observations": observations, "noise_variance": variance}

    def weights(self, inputs: Any) -> None:
        """By which squares of windows count in a training: all the same.

        Args:
            inputs: of `inputs`.
        """

    def to_json(self) -> str:
        """The plan as JSON, as written into the attributes of a data set."""
        return json.dumps(asdict(self))


def _refuse_parts(parts):
    if parts:
        raise InputError(
            f"Received {' and '.join(parts)} with a protocol that draws the pattern of each "
            "window; expected one that is the same in all of them."
        )


Plan = ObservationPlan | DrawnPlan | MixedPlan
"""What of windows is observed, when, and how well."""
