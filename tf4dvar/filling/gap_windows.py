"""Windows of maps of which more is hidden than gaps hide: what a model learns to fill them from."""

from typing import Any

import numpy as np

from tf4dvar.classical.fields import FieldProblem
from tf4dvar.classical.fields.withheld import in_gaps
from tf4dvar.errors import InputError
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import random_stream
from tf4dvar.training.windows import DrawnWindows

# Windows of a pass, and of the validation.
NUMBER, OF_VALIDATION = 100, 20
# Points of a window along each axis of space, at most.
SIDE = 64
# Weight of what is given beside what is hidden.
GIVEN = 0.02
# Windows drawn for each that is wanted: of many parts of maps nothing can be hidden.
TRIES = 50


class NothingHiddenError(InputError):
    """Maps from which nothing is to be learned."""


class GapWindows(DrawnWindows):
    """Parts of maps that begin anywhere, in time, space and member.

    What other times of the window do not observe is hidden from it, see `in_gaps`, and is the
    target; of whole fields all that the gaps of the maps hide. Windows are turned in time, y and x
    at once, by which what drifts goes on as it did, and in their sign.

    Args:
        problem: the maps; its states, where it has some, are learned from in place of what is
            observed.
        days: times of a window.
        seed: of what is drawn.

    Raises:
        NothingHiddenError: nothing can be hidden.
    """

    def __init__(self, problem: FieldProblem, days: int, seed: int):
        self.number, self.seed = NUMBER, seed
        seen = np.where(problem.observed, problem.observations, np.nan)
        self._maps, self._noise = seen, np.sqrt(problem.variance)
        self._states, self._land = problem.states, problem.grid.land
        times, *space = seen.shape[1:]
        if self._states is not None:
            times = min(times, self._states.shape[1])
        self._shape = min(days, times), *(min(SIDE, points) for points in space)
        self._mean = float(np.nanmean(seen))
        self.observations = self.truth = seen.reshape(-1, 1, *space)[..., None]
        self.validation = self._drawn(random_stream("validation gaps", seed), OF_VALIDATION)

    def adapt(self, model: FourDVarNet) -> None:
        """See `TrainingWindows`; it forgets the data that it was trained on before."""
        model.adapt(self.observations)
        model.signature = None

    def drawn(self, rng):
        """See `DrawnWindows`."""
        return self._drawn(rng, self.number)

    def _drawn(self, rng: np.random.Generator, number: int) -> tuple[Any, ...]:
        """Inputs, target and weights of some windows."""
        windows: list[tuple[np.ndarray, ...]] = []
        for _ in range(TRIES * number):
            place = self._place(rng)
            states = self._states
            window = (
                self._of_gaps(place, rng) if states is None else self._of_states(states, place, rng)
            )
            if window is not None:
                windows.append(_turned(window, self._mean, rng))
            if len(windows) == number:
                break
        else:
            raise NothingHiddenError(
                f"Received maps of which {len(windows)} of {TRIES * number} parts of "
                f"{self._shape} points in time, y and x have something that can be hidden below "
                "the gaps of other times; expected more to train on. Take minutes=0."
            )
        observations, target, weights, land = (
            np.stack(each) for each in zip(*windows, strict=True)
        )
        inputs = {"observations": observations[..., None], "land": land}
        return inputs, target[..., None], weights[..., None]

    def _place(self, rng):
        """Where a window is: a member, and slices of time, y and x."""
        members, *whole = self._maps.shape
        corner = [rng.integers(n - part + 1) for n, part in zip(whole, self._shape, strict=True)]
        parts = (slice(b, b + n) for b, n in zip(corner, self._shape, strict=True))
        return rng.integers(members), *parts

    def _of_gaps(self, place, rng):
        """What is seen of a part, all that was, what each counts, and land; None if all is seen."""
        target = self._maps[place]
        hidden = in_gaps(np.isfinite(target), rng)
        if not hidden.any():
            return None
        weights = np.where(hidden, 1.0, GIVEN)
        return np.where(hidden, np.nan, target), target, weights, self._land_of(place)

    def _of_states(self, states, place, rng):
        """The same of whole fields below the gaps of a part."""
        space = place[2:]
        sample = rng.integers(len(states))
        begin = rng.integers(states.shape[1] - self._shape[0] + 1)
        target = states[sample, begin : begin + self._shape[0], *space]
        seen = np.isfinite(self._maps[place])
        if not seen.any():
            return None
        noisy = target + self._noise[place] * rng.normal(size=target.shape)
        return np.where(seen, noisy, np.nan), target, np.ones(target.shape), self._land_of(place)

    def _land_of(self, place):
        space = place[2:]
        shape = self._shape[1:]
        return np.zeros(shape, bool) if self._land is None else self._land[space]


def _turned(window, mean, rng):
    """Everything of a window in time, y and x at once, or not, and in its sign."""
    observations, target, weights, land = window
    if rng.random() < 0.5:
        observations, target, weights, land = (np.flip(each) for each in window)
    if rng.random() < 0.5:
        observations, target = 2 * mean - observations, 2 * mean - target
    return observations, target, weights, land
