"""Filters that know the state by a mean and a covariance."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tf4dvar.classical.covariance import climatology, covariance_matrix
from tf4dvar.classical.cycled.filter import Filter
from tf4dvar.classical.method import setting
from tf4dvar.classical.tangent_linear import one_step_model


class MeanAndCovariance(NamedTuple):
    """A Gaussian: [series, component], [series, component, component]."""

    mean: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True)
class GaussianFilter(Filter):
    """What the filters share that know a covariance: Kalman's analysis."""

    kind = MeanAndCovariance

    def begin(self, problem, rng):
        """The background."""
        prior, count = problem.required_prior(), len(problem.observations)
        covariance = covariance_matrix(prior.covariance, len(prior.mean))
        return MeanAndCovariance(
            np.tile(prior.mean, (count, 1)), np.tile(covariance, (count, 1, 1))
        )

    def update(self, problem, state, seen, move, rng):
        """Kalman's, with H at the mean."""
        mean, covariance = (each.copy() for each in state)
        misfit = np.full(len(seen), np.nan)
        simulated = problem.operator(mean)
        jacobian = problem.operator.jacobian(mean)
        for series, of in enumerate(seen):
            if not of.entries.size:
                continue
            matrix = np.eye(problem.components) if jacobian is None else jacobian
            matrix = matrix[series] if matrix.ndim == 3 else matrix
            matrix = of.root.T @ matrix[of.entries]
            cross = covariance[series] @ matrix.T
            total = matrix @ cross + np.eye(len(of.values))
            innovation = of.values - of.of(simulated[series])
            solved = np.linalg.solve(total, np.column_stack([innovation, cross.T]))
            mean[series] += cross @ solved[:, 0]
            reduced = covariance[series] - cross @ solved[:, 1:]
            covariance[series] = (reduced + reduced.T) / 2
            misfit[series] = innovation @ solved[:, 0] / len(innovation)
        return MeanAndCovariance(mean, covariance), misfit

    def estimate(self, state):
        """The mean, and the roots of the covariance's diagonal."""
        return state.mean, np.sqrt(np.einsum("sii->si", state.covariance))


@dataclass(frozen=True)
class ExtendedKalmanFilter(GaussianFilter):
    """Extended Kalman filter: the covariance goes with the tangent linear of the dynamics."""

    name = "ekf"
    needs_flow = True
    inflation: float = setting(1.05, "Of the spread, after each analysis.", positive=True)

    def forecast(self, problem, state, move, time, rng):
        """The mean by the dynamics, the covariance by their Jacobian."""
        model = one_step_model(problem.flow, problem.components)
        steps = problem.covariates_of_steps
        jacobian = model.jacobians(state.mean, None if steps is None else steps[:, time])
        covariance = jacobian @ state.covariance @ jacobian.swapaxes(-1, -2)
        return MeanAndCovariance(move(state.mean, time), covariance)

    def update(self, problem, state, seen, move, rng):
        """Kalman's, inflated where something is observed."""
        found, misfit = super().update(problem, state, seen, move, rng)
        factor = np.where(np.isnan(misfit), 1.0, self.inflation**2)[:, np.newaxis, np.newaxis]
        return found._replace(covariance=factor * found.covariance), misfit


@dataclass(frozen=True)
class ThreeDVar(GaussianFilter):
    """3D-Var: the forecast is corrected by a covariance that never changes.

    It is that of the climatology, by a factor.
    """

    name = "3dvar"
    scale: float = setting(0.02, "Of the climatology's covariance.", positive=True)

    def begin(self, problem, rng):
        """The background, with the covariance that stays."""
        first = super().begin(problem, rng)
        return MeanAndCovariance(first.mean, self._covariance(problem, len(first.mean)))

    def forecast(self, problem, state, move, time, rng):
        """The mean by the dynamics."""
        count = len(state.mean)
        return MeanAndCovariance(move(state.mean, time), self._covariance(problem, count))

    def _covariance(self, problem, count):
        system = problem.required_system()
        return np.tile(self.scale * climatology(system).covariance, (count, 1, 1))
