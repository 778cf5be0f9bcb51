"""Filters that know the state by an ensemble."""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from scipy.special import chdtri

from tf4dvar.classical.cycled.filter import Filter, misfit_of
from tf4dvar.classical.ensemble import circle_taper
from tf4dvar.classical.method import setting
from tf4dvar.errors import InputError

# At a time, of a forecast that is off: a far wider ensemble may find another minimum.
WIDEST = 1.5


class Members(NamedTuple):
    """An ensemble, [series, member, component]."""

    members: np.ndarray


@dataclass(frozen=True)
class EnsembleFilter(Filter):
    """What ensemble Kalman filters share; of most only the analysis of a series differs."""

    kind: ClassVar[type] = Members
    members: int = setting(40, "Size of the ensemble.", at_least=2)
    inflation: float = setting(1.02, "Of the spread, after each analysis.", positive=True)
    rotation: bool = setting(True, "Turn the ensemble at random, with its mean and covariance.")
    adaptive_inflation: float = setting(
        0.0,
        "Widen a forecast to the innovations where so large ones are less likely than this: 0.01.",
        at_least=0,
    )

    def begin(self, problem, rng):
        """Drawn from the background."""
        prior = problem.required_prior()
        return Members(prior.draw(rng, len(problem.observations), self.members))

    def forecast(self, problem, state, move, time, rng):
        """Every member by itself."""
        return Members(move(state.members, time))

    def update(self, problem, state, seen, move, rng):
        """The analysis of each series, inflated and turned."""
        members, misfit = state.members.copy(), np.full(len(seen), np.nan)
        simulated = problem.operator(members)
        for series, of in enumerate(seen):
            if not of.entries.size:
                continue
            ensemble, shown = members[series], of.of(simulated[series])
            simulated_mean = shown.mean(axis=0)
            innovation = of.values - simulated_mean
            anomalies = (shown - simulated_mean) / np.sqrt(self.members - 1)
            misfit[series] = misfit_of(innovation, anomalies.T @ anomalies)
            wider = self.widening(innovation, anomalies, misfit[series])
            if wider > 1:
                middle = ensemble.mean(axis=0)
                ensemble, anomalies = middle + wider * (ensemble - middle), wider * anomalies
            mean, departures = self.analysis(ensemble, anomalies, innovation, of, problem, rng)
            if self.rotation:
                departures = rotation(self.members, rng) @ departures
            members[series] = mean + self.inflation * departures
        return Members(members), misfit

    def estimate(self, state):
        """Mean and standard deviation of the members."""
        mean = state.members.mean(axis=1)
        squares = np.square(state.members - mean[:, np.newaxis]).sum(axis=1)
        return mean, np.sqrt(squares / (self.members - 1))

    def widening(self, innovation, anomalies, misfit):
        """Factor of the forecast's spread, from 1 on; see `adaptive_inflation`.

        A filter that is off and does not know takes little from what would tell it so. Innovations
        beyond chance are taken for what the spread should be (Wang and Bishop 2003,
        doi:10.1175/1520-0469(2003)060<1140:ACOBAE>2.0.CO;2).

        Args:
            innovation, anomalies: as of `analysis`.
            misfit: of `misfit_of`, a chi-square variate by its degrees of freedom.
        """
        number = len(innovation)
        if not self.adaptive_inflation or misfit * number <= chdtri(
            number, self.adaptive_inflation
        ):
            return 1.0
        asked = (innovation @ innovation - number) / np.square(anomalies).sum()
        return np.sqrt(np.clip(asked, 1.0, WIDEST**2))

    def analysis(self, ensemble, anomalies, innovation, seen, problem, rng):
        """Mean, and departures of the members from it.

        Args:
            ensemble: [member, component].
            anomalies: of what the members simulate, by the root of their number less one, in
                units of the observations' errors, [member, observed].
            innovation: observed less the simulated mean, in these units.
            seen, problem, rng: as of `update`.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class EnKF(EnsembleFilter):
    """Ensemble Kalman filter: the symmetric square root, or perturbed observations.

    The first is the ensemble transform of Bishop et al. (2001) with the symmetric root of Hunt et
    al. (2007), doi:10.1016/j.physd.2006.11.008; turned at random as Sakov and Oke (2008),
    doi:10.1175/2007MWR2021.1, have it. The second is Burgers et al. (1998).
    """

    name = "enkf"
    analysis_by: Literal["square-root", "perturbed"] = setting(
        "square-root", "How members come to have the analysis' covariance."
    )

    def analysis(self, ensemble, anomalies, innovation, seen, problem, rng):
        """By weights of the members."""
        mean = ensemble.mean(axis=0)
        departures = ensemble - mean
        number = np.sqrt(self.members - 1)
        vectors, roots, _ = np.linalg.svd(anomalies, full_matrices=False)

        def applied(factors, to):
            """Factors along what is observed, 1 across it."""
            return to + (vectors * (factors - 1)) @ (vectors.T @ to)

        gain = applied(1 / (1 + np.square(roots)), anomalies) / number
        if self.analysis_by == "perturbed":
            noise = rng.normal(size=anomalies.shape)
            noise -= noise.mean(axis=0)
            weights = (noise - number * anomalies) @ gain.T
            departures = departures + weights @ departures
        else:
            departures = applied(1 / np.sqrt(1 + np.square(roots)), departures)
        return mean + gain @ innovation @ (ensemble - mean), departures


@dataclass(frozen=True)
class LETKF(EnsembleFilter):
    """Local ensemble transform Kalman filter, for components on a circle.

    Every component has an analysis of its own, for which an observation counts the less the farther
    it is (Hunt et al. 2007, doi:10.1016/j.physd.2006.11.008), by the function of Gaspari and Cohn
    (1999), eq. 4.10.
    """

    name = "letkf"
    members: int = setting(10, "Size of the ensemble.", at_least=2)
    inflation: float = setting(1.04, "Of the spread, after each analysis.", positive=True)
    localisation: float = setting(
        14.0, "Components beyond which observations do not count.", positive=True
    )

    def analysis(self, ensemble, anomalies, innovation, seen, problem, rng):
        """Of each component by itself, all at once."""
        if not seen.alone:
            raise InputError(
                "Received a covariance of the observations' errors; letkf takes variances alone, "
                "as each observation counts by its own distance."
            )
        footprint = problem.operator.footprint()[seen.entries]
        taper = circle_taper(problem.components, self.localisation) @ footprint.T
        mean = ensemble.mean(axis=0)
        departures = ensemble - mean
        weighted = anomalies * taper[:, np.newaxis]
        values, vectors = np.linalg.eigh(weighted @ anomalies.T)
        values = np.maximum(values, 0.0)[..., np.newaxis, :]
        turned = vectors.swapaxes(-1, -2)
        gains = (vectors / (1 + values)) @ (turned @ (weighted @ innovation)[..., np.newaxis])
        root = (vectors / np.sqrt(1 + values)) @ turned
        number = np.sqrt(self.members - 1)
        moved = np.einsum("cm,mc->c", gains[..., 0], departures) / number
        return mean + moved, np.einsum("cmn,nc->mc", root, departures)


def rotation(members: int, rng: np.random.Generator) -> np.ndarray:
    """A random rotation of an ensemble that leaves its mean and covariance, [member, member].

    Args:
        members: their number.
        rng: draws it.
    """
    mean = np.full((members, 1), 1 / np.sqrt(members))
    basis = np.linalg.qr(np.hstack([mean, rng.normal(size=(members, members - 1))]))[0][:, 1:]
    turn, triangle = np.linalg.qr(rng.normal(size=(members - 1, members - 1)))
    return mean @ mean.T + basis @ (turn * np.sign(np.diag(triangle))) @ basis.T
