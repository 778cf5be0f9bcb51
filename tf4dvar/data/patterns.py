"""How densely, how regularly and when each component is observed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import NamedTuple

import numpy as np

from tf4dvar.data.signature_record import Count, NotNegative, Steps

# Findings of a component that are told.
MOST = 3
# Entries looked at together.
CHUNK = 2**22
# Phases of a pattern that are told one by one; with more any will do.
PHASES = 64
# That random times had a common divisor, or random phases left some out.
CHANCE = 1e-6
# Values of a component from which its range is known.
VALUES = 100
# By how many deviations over the training windows, and by which part of the farthest of them, a
# window may be beyond them all: with 100 of them one of a million of their own kind is.
DEVIATIONS = 5.0
BEYOND = 0.5
# Of fewer windows the deviation tells little; those that repeat each other are enough sooner.
WINDOWS, REPEATED = 100, 8
# Share of the windows that has to be beyond the training's, of one window that one.
SHARE = 0.05
# From so many windows on their mean is looked at, too. More do not count as drawn one by one:
# those of one series are alike.
ALONE = 16
# Where windows of the training differ by more than this part of their mean, patterns were drawn for
# each, and all windows of a file may be of one of them.
VARIED = 0.5


class Range(NamedTuple):
    """A number over the training windows: least, mean, most, and standard deviation."""

    least: NotNegative
    mean: NotNegative
    most: NotNegative
    deviation: NotNegative


class Measures(NamedTuple):
    """What is measured in each window, [window]; NaN where too little is observed for it.

    Attributes:
        share: of the entries that is observed.
        gap: the longest gap between two observations at a place, in steps.
        distance: from an entry to the nearest observation at its place, in steps, the mean.
        farthest: the same, the greatest.
    """

    share: np.ndarray
    gap: np.ndarray
    distance: np.ndarray
    farthest: np.ndarray


LABELS = {
    "share": "a share of {:.3g} is observed",
    "gap": "{:.0f} steps between two observations",
    "distance": "{:.3g} steps to the nearest observation, on average",
    "farthest": "{:.0f} steps to the nearest observation",
}


@dataclass(frozen=True)
class Pattern:
    """How a component is observed in the training windows.

    Attributes:
        windows: number of them.
        values: number of observations.
        spacing: the greatest number of steps of which all times between two observations are
            multiples; 1 if there is no such rule.
        phases: steps modulo the spacing at which something is observed; none if there is no rule,
            or if the windows are too few to tell which there are.
        share, gap, distance, farthest: of `Measures`; None where no window has a number.
    """

    windows: Steps
    values: Count
    spacing: Steps
    phases: tuple[Count, ...]
    share: Range
    gap: Range | None
    distance: Range | None
    farthest: Range | None

    @property
    def consistent(self) -> bool:
        """Whether its numbers go together; those of a record may not."""
        ranges = [each for each in (getattr(self, name) for name in LABELS) if each is not None]
        return (
            len(self.phases) <= PHASES
            and all(phase < self.spacing for phase in self.phases)
            and all(each.least <= each.most for each in ranges)
        )

    @property
    def regular(self) -> bool:
        """Whether observations come by a rule, all of them in every window."""
        return self.share.deviation == 0 < self.share.least

    @property
    def sure(self) -> bool:
        """Whether the windows are enough to tell others from them."""
        return self.windows >= (REPEATED if self.regular else WINDOWS)


class Observed:
    """Patterns of masks that are added chunk by chunk.

    Args:
        patterns: their number: of components, or 1 for all together.
    """

    def __init__(self, patterns: int):
        self._spacing = [0] * patterns
        self._pairs = [0] * patterns
        self._values = [0] * patterns
        self._steps: list[set[int]] = [set() for _ in range(patterns)]
        self._measures: list[list[Measures]] = [[] for _ in range(patterns)]

    def add(self, observed: np.ndarray) -> None:
        """Look at more windows.

        Args:
            observed: what is observed, [window, time, place, pattern].
        """
        for number, found in enumerate(self._measures):
            mask = observed[..., number]
            windows, steps = np.nonzero(mask.any(axis=2))
            between = np.diff(steps)[np.diff(windows) == 0]
            self._spacing[number] = int(np.gcd.reduce(between, initial=self._spacing[number]))
            self._pairs[number] += len(between)
            self._values[number] += int(mask.sum())
            self._steps[number].update(np.unique(steps).tolist())
            found.append(_measures(mask))

    def measures(self, number: int) -> Measures:
        """Of all windows so far, of one pattern."""
        return Measures(*map(np.concatenate, zip(*self._measures[number], strict=True)))

    def patterns(self) -> tuple[Pattern, ...]:
        """The patterns of all windows so far."""
        return tuple(map(self._pattern, range(len(self._measures))))

    def _pattern(self, number: int) -> Pattern:
        measures = self.measures(number)
        windows = len(measures.share)
        share, *others = map(_range, measures)
        assert share is not None
        rule = self._rule(number, windows)
        return Pattern(windows, self._values[number], *rule, share, *others)

    def _rule(self, number: int, windows: int) -> tuple[int, tuple[int, ...]]:
        """Spacing and phases, where that many pairs do not have them by chance."""
        spacing = self._spacing[number]
        if spacing < 2 or self._pairs[number] * np.log(spacing) < -np.log(CHANCE):
            return 1, ()
        phases = {step % spacing for step in self._steps[number]}
        # Each window draws one of them, and none is a certain other one.
        chance = comb(spacing, len(phases)) * (len(phases) / spacing) ** windows
        return spacing, tuple(sorted(phases)) if len(phases) <= PHASES and chance < CHANCE else ()

    def beyond(self, number: int, pattern: Pattern) -> list[str]:
        """What of these windows goes beyond the training's, each with its numbers.

        Args:
            number: of the pattern here.
            pattern: the training's.
        """
        found = []
        if pattern.phases:
            phases = sorted({step % pattern.spacing for step in self._steps[number]})
            others = [phase for phase in phases if phase not in pattern.phases]
            if others:
                found.append(
                    f"observed {_listed(others)} steps after a multiple of {pattern.spacing}, in "
                    f"training {_listed(pattern.phases)}"
                )
        for name, values in self.measures(number)._asdict().items():
            known, label = getattr(pattern, name), LABELS[name]
            values = values[~np.isnan(values)]
            if known is None or not values.size or not pattern.sure:
                continue
            outside = values[_is_beyond(values, known.least, known.most, known.deviation, name)]
            mean, drawn = values.mean(), known.deviation > VARIED * known.mean
            own = known.deviation if drawn else known.deviation / np.sqrt(ALONE)
            if len(outside) > SHARE * len(values):
                farthest = outside[np.abs(outside - known.mean).argmax()]
                found.append(
                    f"{label.format(farthest)}, in training {_ends(label, known)}"
                    f" ({len(outside)} of {len(values)} windows)"
                )
            elif len(values) >= ALONE and _is_beyond(mean, known.mean, known.mean, own, name):
                found.append(
                    f"{label.format(mean)}, in training {label.format(known.mean)}"
                    " (mean of the windows)"
                )
        return found[:MOST]


def chunks(shape: Sequence[int]) -> list[slice]:
    """Windows that are looked at together.

    Args:
        shape: [window, ...] of all.
    """
    size = max(1, CHUNK // max(1, int(np.prod(shape[1:]))))
    return [slice(start, start + size) for start in range(0, shape[0], size)]


def _measures(mask: np.ndarray) -> Measures:
    """Of masks [window, time, place]; a place without an observation in a window has no gaps."""
    length = mask.shape[1]
    steps = np.arange(length, dtype="int32")[:, None]
    # A step so far away that it never is the nearest.
    before = np.maximum.accumulate(np.where(mask, steps, -2 * length), axis=1)
    after = np.minimum.accumulate(np.where(mask, steps, 3 * length)[:, ::-1], axis=1)[:, ::-1]
    known = np.any(mask, axis=1)
    distance = np.minimum(steps - before, after - steps)
    distance = np.where(known[:, None], distance, -1)
    earlier = np.pad(before, ((0, 0), (1, 0), (0, 0)), constant_values=-2 * length)[:, :-1]
    gap = np.where(mask & (earlier >= 0), steps - earlier - 1, -1).max(axis=(1, 2))
    count = known.sum(axis=1) * length
    total = np.where(known[:, None], distance, 0).sum(axis=(1, 2))
    farthest = distance.max(axis=(1, 2))
    return Measures(
        mask.mean(axis=(1, 2)),
        np.where(gap >= 0, gap, np.nan),
        np.where(count > 0, total / np.maximum(count, 1), np.nan),
        np.where(farthest >= 0, farthest, np.nan),
    )


def _range(values: np.ndarray) -> Range | None:
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    least, most = float(known.min()), float(known.max())
    if least == most:
        return Range(least, most, most, 0.0)
    return Range(least, float(known.mean()), most, float(known.std()))


def _is_beyond(values, least, most, deviation, name):
    """Where values are beyond the training's by more than chance has it."""
    by_chance = DEVIATIONS * deviation
    above = values > most + max(by_chance, BEYOND * most)
    below = values < least - max(by_chance, least * BEYOND / (1 + BEYOND))
    # The shorter the way to an observation, the better.
    return above | below if name == "share" else above


def _ends(label, known):
    numbers = label[label.index("{") : label.index("}") + 1]
    least, most = numbers.format(known.least), numbers.format(known.most)
    return most if least == most else f"{least} to {most}"


def _listed(phases: Sequence[int]) -> str:
    first = ", ".join(map(str, phases[:8]))
    return f"{first}, ..." if len(phases) > 8 else first
