"""A filter that knows the state by weighted samples."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tf4dvar.classical.cycled.filter import Filter, misfit_of
from tf4dvar.classical.ensemble import square_root
from tf4dvar.classical.method import setting


class Particles(NamedTuple):
    """Samples, [series, particle, component], and their weights, [series, particle], of sum 1."""

    members: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class ParticleFilter(Filter):
    """Bootstrap particle filter, for systems of a few components.

    Particles are weighed by the likelihood of the observations (Gordon et al. 1993). Where few of
    them have the weight, they are drawn anew, and each is moved at random by a part of their
    covariance, the smaller the more there are (Musso et al. 2001).
    """

    name = "particle"
    kind = Particles
    members: int = setting(4000, "Number of particles.", at_least=2)
    resample_below: float = setting(
        0.1, "Effective share of the particles below which they are drawn anew.", positive=True
    )
    jitter: float = setting(0.7, "Of the bandwidth by which these are moved.", positive=True)

    def begin(self, problem, rng):
        """Drawn from the background."""
        count = len(problem.observations)
        members = problem.required_prior().draw(rng, count, self.members)
        return Particles(members, np.full((count, self.members), 1 / self.members))

    def forecast(self, problem, state, move, time, rng):
        """Every particle by itself."""
        return state._replace(members=move(state.members, time))

    def update(self, problem, state, seen, move, rng):
        """The weights, and where it is time new particles."""
        members, weights = (each.copy() for each in state)
        misfit = np.full(len(seen), np.nan)
        simulated = problem.operator(members)
        for series, of in enumerate(seen):
            if not of.entries.size:
                continue
            shown = of.of(simulated[series])
            mean = weights[series] @ shown
            spread = (weights[series, :, np.newaxis] * (shown - mean)).T @ (shown - mean)
            innovation = of.values - mean
            misfit[series] = misfit_of(innovation, spread)
            logs = -np.square(of.values - shown).sum(axis=1) / 2
            likely = weights[series] * np.exp(logs - logs.max())
            weights[series] = likely / likely.sum()
            if 1 / np.square(weights[series]).sum() < self.resample_below * self.members:
                members[series] = self._drawn(members[series], weights[series], rng)
                weights[series] = 1 / self.members
        return Particles(members, weights), misfit

    def estimate(self, state):
        """Weighted mean and standard deviation."""
        mean = np.einsum("sp,spc->sc", state.weights, state.members)
        departures = np.square(state.members - mean[:, np.newaxis])
        return mean, np.sqrt(np.einsum("sp,spc->sc", state.weights, departures))

    def _drawn(self, members, weights, rng):
        """As often as they weigh, at equal steps of the sum of weights; then moved a little."""
        number, components = members.shape
        places = (rng.random() + np.arange(number)) / number
        chosen = members[np.minimum(np.searchsorted(weights.cumsum(), places), number - 1)]
        covariance = np.cov(members, rowvar=False, aweights=weights, ddof=0).reshape(components, -1)
        bandwidth = self.jitter * number ** (-1 / (components + 4))
        return chosen + bandwidth * rng.normal(size=chosen.shape) @ square_root(covariance)
