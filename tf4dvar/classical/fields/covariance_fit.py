"""A kernel, its parameters and those of the noise, fitted to withheld observations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from tf4dvar.classical.fields.covariances import FieldCovariance
from tf4dvar.classical.fields.withheld import (
    Case,
    Withheld,
    best_scale,
    cases,
    cost,
    departures,
    shares,
)
from tf4dvar.errors import InputError

# Blocks each time that observations are withheld: for a first search of the parameters, for the
# last one and to compare, and for the scale.
FEW_BLOCKS, BLOCKS, BLOCKS_OF_SCALE = 8, 24, 384
# Neighbours while parameters are searched, at most.
NEIGHBOURS = 100
# Of a minimisation: its steps, the differences by which it finds slopes, and how far it goes.
STEPS, DIFFERENCE, FARTHEST = 8, 0.02, 3.0
# Where a covariance is not positive definite in double precision: no candidate.
REFUSED = 1e3
DRIFT = "drift_x", "drift_y"


class Parameters(NamedTuple):
    """What is fitted.

    Attributes:
        kernel: a name in `KERNELS`.
        length: km.
        days: as a length is to space.
        variance: of the field.
        noise_factor: by which the variances of the observations' errors are multiplied.
        drift_x, drift_y: see `KernelCovariance`.
    """

    kernel: str
    length: float
    days: float
    variance: float
    noise_factor: float
    drift_x: float = 0.0
    drift_y: float = 0.0

    @property
    def of_covariance(self) -> dict[str, Any]:
        """All but those of the noise, as `KernelCovariance` takes them."""
        return {name: of for name, of in self._asdict().items() if name != "noise_factor"}

    def moved(self, steps: Mapping[str, float]) -> "Parameters":
        """Some changed by steps of a search: by factors exp(step), drifts by lengths in days.

        Args:
            steps: by name.
        """
        speed = self.length / self.days
        return self._replace(
            **{
                name: getattr(self, name) + step * speed
                if name in DRIFT
                else getattr(self, name) * float(np.exp(step))
                for name, step in steps.items()
            }
        )

    def scaled(self, scale: float) -> "Parameters":
        """With the variance of the field and the noise multiplied.

        Args:
            scale: by this.
        """
        return self._replace(variance=scale * self.variance, noise_factor=scale * self.noise_factor)


@dataclass(frozen=True)
class Fit:
    """Parameters under which withheld observations are most likely.

    The estimate does not change if the variance of the field and the noise factor are multiplied
    by the same number, and its stated variance is multiplied by it. Where both are free that
    number is found by itself.

    Attributes:
        covariance_of: makes a covariance of parameters.
        free: names of the numbers to fit.
        most: of some of them, up to which they are searched.
        least_variance: of the field, while parameters are searched: that of observations about
            their mean is smaller than the field's. Without it a fit may end at short scales.
        withheld: observations.
        neighbours: at most so many observations for each block.
    """

    covariance_of: Callable[[Parameters], FieldCovariance]
    free: Sequence[str]
    most: Mapping[str, float]
    least_variance: float
    withheld: Sequence[Withheld]
    neighbours: int

    @property
    def scaled(self) -> bool:
        """Whether the variance of the field and the noise factor are free."""
        return {"variance", "noise_factor"} <= set(self.free)

    def best(self, guesses: Sequence[Parameters]) -> Parameters:
        """Those of the likeliest kernel.

        A search knows observations that are near by what it begins with; it is repeated with those
        that are near by what it found, at last with more of them. It begins without a drift. The
        worst kernel is left out each time (successive halving: Jamieson and Talwalkar 2016,
        arXiv:1502.07943).

        Args:
            guesses: of each kernel; the numbers that are not free are as they are here.
        """
        still = [name for name in self.free if name not in DRIFT]
        kept = [self._judged(guess) for guess in guesses]
        for free, blocks in ((still, FEW_BLOCKS), (self.free, FEW_BLOCKS), (self.free, BLOCKS)):
            found = [
                self._judged(self._searched(each, self._cases(each, blocks), free))
                for _, each in kept
            ]
            # By what is near under those found they may be worse.
            better = [min(pair, key=itemgetter(0)) for pair in zip(kept, found, strict=True)]
            kept = sorted(better, key=itemgetter(0))[: max(len(better) - 1, 1)]
        return kept[0][1]

    def _judged(self, parameters: Parameters) -> tuple[float, Parameters]:
        """The cost by what is near under the parameters, and these."""
        return self._scaled_cost(parameters, self._cases(parameters, BLOCKS))[0], parameters

    def scale(self, parameters: Parameters, stated: np.ndarray) -> float:
        """By which the stated variance, with all neighbours, is to be multiplied.

        Args:
            parameters: those found.
            stated: variances of the maps in gaps; see `shares`.
        """
        covariance = self.covariance_of(parameters)
        sample = cases(covariance, self.withheld, self.neighbours, BLOCKS_OF_SCALE)
        of = departures(covariance, parameters.noise_factor, sample)
        return best_scale(of, shares(of[1], stated))

    def _cases(self, near: Parameters, blocks: int) -> list[Case]:
        """Some blocks each time, and neighbours by the distances of these parameters."""
        neighbours = min(self.neighbours, NEIGHBOURS)
        return cases(self.covariance_of(near), self.withheld, neighbours, blocks)

    def _scaled_cost(self, parameters: Parameters, sample: Sequence[Case]) -> tuple[float, float]:
        """The cost, and the scale by which the parameters are to be multiplied for it."""
        try:
            of = departures(self.covariance_of(parameters), parameters.noise_factor, sample)
        except InputError:
            return REFUSED, 1.0
        least = self.least_variance / parameters.variance
        scale = best_scale(of, least=least) if self.scaled else 1.0
        return cost(of, scale), scale

    def _searched(
        self, guess: Parameters, sample: Sequence[Case], free: Sequence[str]
    ) -> Parameters:
        """Those of a minimisation over some of the free numbers."""
        searched = [name for name in free if not (self.scaled and name == "variance")]

        def changed(steps):
            return guess.moved(dict(zip(searched, steps.tolist(), strict=True)))

        found = guess
        if searched:
            upper = [
                min(max(np.log(self.most[name] / getattr(guess, name)), 0.0), FARTHEST)
                if name in self.most
                else FARTHEST
                for name in searched
            ]
            best = optimize.minimize(
                lambda steps: self._scaled_cost(changed(steps), sample)[0],
                np.zeros(len(searched)),
                method="L-BFGS-B",
                bounds=optimize.Bounds(-FARTHEST, upper),
                options={"maxiter": STEPS, "eps": DIFFERENCE, "ftol": 1e-4},
            )
            found = changed(best.x)
        return found.scaled(self._scaled_cost(found, sample)[1])
