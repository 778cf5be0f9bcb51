"""Ensemble Kalman smoother."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tf4dvar.classical.analysis import Analysis, in_chunks, windows_at_once
from tf4dvar.classical.covariance import Covariance, Gaussian, covariance_matrix
from tf4dvar.classical.ensemble import circle_taper, square_root, weights_of_members
from tf4dvar.classical.method import Method, setting
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.stationarity import stationary
from tf4dvar.classical.tangent_linear import one_step_model
from tf4dvar.systems import random_stream
from tf4dvar.systems.axes import axes_but


@dataclass(frozen=True)
class EnKS(Method):
    """Ensemble Kalman smoother, with its spread.

    Every analysis updates all times up to its own. The update is stochastic, with perturbed
    observations (Evensen and van Leeuwen 2000,
    doi:10.1175/1520-0493(2000)128<1852:AEKSFN>2.0.CO;2), or the square root of Whitaker and
    Hamill (2002), eq. 10, doi:10.1175/1520-0493(2002)130<1913:EDAWPO>2.0.CO;2. Localisation is
    around a circle (Gaspari and Cohn 1999, eq. 4.10).

    With a model error every forecast of a member gets a random one of its own. Data of no known
    system are forecast by persistence, with the background and the model error that the
    observations show; see `stationary`.

    Costs are the sums of squared innovations, each in units of its variance: for linear dynamics,
    the minimum of the strong-constraint cost. Iterations count analyses; a window has converged
    if its ensemble stayed finite.
    """

    name = "enks"
    takes_background = True
    needs_dynamics = False
    members: int = setting(1000, "Size of the ensemble.", at_least=2)
    inflation: float = setting(1.02, "Of the spread, at each analysis.", positive=True)
    square_root: bool = setting(False, "No perturbed observations.")
    localisation: float | None = setting(
        None, "Components beyond which covariances are zero.", positive=True
    )
    seed: int = setting(0, "Same seed, same states.", at_least=0)
    model_error_variance: Covariance | None = setting(
        None, "Variance of the model error in one step: Q.", positive=True
    )

    def solve(self, problem, progress):
        """See `Method.analyse`."""
        _, steps, components = problem.shape
        forecast, prior, error = self._dynamics(problem)
        tapers = self._tapers(problem)
        rng = random_stream("ensemble", self.seed)

        def analyse(part: Problem) -> Analysis:
            count = len(part.observations)
            # A window's ensemble comes last but one: covariances are products of matrices.
            # In single precision they are twice as fast, and errors of sampling are far larger.
            ensemble = np.empty((count, self.members, steps, components), np.float32)
            ensemble[:, :, 0] = prior.draw(rng, count, self.members)
            costs, analyses = np.zeros(count), np.zeros(count, int)
            for time in range(steps):
                if time:
                    last = ensemble[:, :, time - 1].astype(float)
                    known = part.covariates_of_steps
                    given = () if known is None else (known[:, None, time - 1],)
                    ensemble[:, :, time] = forecast(last, *given)
                    if error is not None:
                        draws = rng.normal(size=(count, self.members, components))
                        ensemble[:, :, time] += draws @ error
                seen = part.observed[:, time]
                if seen.any():
                    mean = ensemble[:, :, time].mean(axis=1, keepdims=True)
                    ensemble[:, :, time] = mean + self.inflation * (ensemble[:, :, time] - mean)
                    costs += _update(
                        ensemble[:, :, : time + 1],
                        part.operator(ensemble[:, :, time]),
                        _observed(part, time, *tapers),
                        not self.square_root,
                        rng,
                    )
                    analyses += seen.any(axis=1)
            states = ensemble.mean(axis=1, dtype=float)
            finite = np.isfinite(states).all(axes_but(0, states))
            spread = ensemble.std(axis=1, ddof=1, dtype=float)
            covariance = None
            if self.members > components:
                covariance = np.stack([np.cov(each, rowvar=False) for each in ensemble[:, :, 0]])
                covariance = covariance.reshape(count, components, components)
            return Analysis(states, costs, analyses, finite, spread, covariance=covariance)

        return in_chunks(
            analyse, problem, windows_at_once(self.members * steps * components), progress
        )

    def _dynamics(self, problem: Problem) -> tuple[Callable, Gaussian, np.ndarray | None]:
        """The forecast, the background, and the symmetric root of Q."""
        error = None
        if self.model_error_variance is not None:
            error = covariance_matrix(self.model_error_variance, problem.components)
        if problem.flow is not None:
            prior = problem.required_prior()
            forecast = one_step_model(problem.flow, problem.components).forecast
            return forecast, prior, None if error is None else square_root(error)
        known = stationary(problem)
        error = known.persistence_error if error is None else error
        return (lambda states, *_: states), problem.prior or known.background, square_root(error)

    def _tapers(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        """Factors on covariances of components with observations, and among these."""
        observed = problem.observations.shape[-1]
        if self.localisation is None:
            return np.ones((problem.components, observed)), np.ones((observed, observed))
        footprint = problem.operator.footprint()
        taper = circle_taper(problem.components, self.localisation) @ footprint.T
        return taper, footprint @ taper


class _Observed(NamedTuple):
    """What each window of a chunk observes at one time, filled up to the same number.

    Attributes:
        entries: indices, [window, observation]; 0 where filled up.
        scale: of every observation, the deviation of its error, same shape: in these units large
            errors beside small ones are well conditioned. Infinite where filled up.
        values: in these units, same shape.
        correlation: of the errors, [window, observation, observation].
        taper: localisation, [window, component, observation].
        among: localisation among them, as the correlation.
    """

    entries: np.ndarray
    scale: np.ndarray
    values: np.ndarray
    correlation: np.ndarray
    taper: np.ndarray
    among: np.ndarray


def _update(
    ensemble: np.ndarray,
    simulated: np.ndarray,
    observed: _Observed,
    perturbed: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Update an ensemble [window, member, time, component] whose last time is observed.

    Args:
        ensemble: changed in place.
        simulated: H of its last time, [window, member, observed].
        observed: the observations.
        perturbed: whether observations are.
        rng: of the perturbations.

    Returns:
        The squared innovations in units of their variance, [window].
    """
    count, members, steps, components = ensemble.shape
    predicted = np.take_along_axis(simulated, observed.entries[:, None], axis=2)
    predicted = (predicted / observed.scale[:, None]).astype(ensemble.dtype)
    mean = predicted.mean(axis=1)
    anomalies = predicted - mean[:, None]
    degrees = np.float32(members - 1)
    states = ensemble.reshape(count, members, -1)
    cross = (states.swapaxes(1, 2) @ anomalies / degrees).reshape(
        count, steps, components, -1
    ) * observed.taper[:, None]
    variance = anomalies.swapaxes(1, 2) @ anomalies / degrees * observed.among
    innovation = observed.values - mean
    noise = None
    if perturbed:
        noise = rng.normal(size=anomalies.shape) @ square_root(observed.correlation)
        noise -= noise.mean(axis=1, keepdims=True)
        noise *= np.isfinite(observed.scale)[:, None]
    weights = weights_of_members(innovation, anomalies, variance, observed.correlation, noise)
    states += weights.astype(states.dtype) @ cross.reshape(count, steps * components, -1).swapaxes(
        1, 2
    )
    return np.einsum("wi,wi->w", innovation, weights.mean(axis=1))


def _observed(problem: Problem, time: int, taper: np.ndarray, among: np.ndarray) -> _Observed:
    """The observations of one time, without the gaps between them."""
    seen = problem.observed[:, time]
    most = seen.sum(axis=1).max()
    entries = np.argsort(~seen, axis=1, kind="stable")[:, :most]
    rows, columns = entries[:, :, None], entries[:, None]
    covariance = problem.covariance(times=time)[np.arange(len(seen))[:, None, None], rows, columns]
    known = np.take_along_axis(seen, entries, axis=1)
    scale = np.where(known, np.sqrt(np.einsum("wii->wi", covariance)), np.inf)
    both = known[:, :, None] & known[:, None]
    products = scale[:, :, None] * scale[:, None]
    return _Observed(
        entries,
        scale,
        np.take_along_axis(problem.values[:, time], entries, axis=1) / scale,
        np.where(both, covariance / products, np.eye(most)),
        taper[:, entries].swapaxes(0, 1).astype(np.float32),
        among[rows, columns],
    )
