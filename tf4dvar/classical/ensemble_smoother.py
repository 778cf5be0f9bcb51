"""Ensemble Kalman smoother."""

from typing import NamedTuple

import keras
import numpy as np

from tf4dvar.classical.analysis import Analysis, Progress, in_chunks, windows_at_once
from tf4dvar.classical.covariance import Covariance, Gaussian, covariance_matrix
from tf4dvar.classical.tangent_linear import one_step_model
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream


class _Observed(NamedTuple):
    """What each window of a chunk observes at one time, filled up to the same number.

    Attributes:
        components: indices, [window, observation]; 0 where filled up.
        known: which are not filled up, same shape.
        values: same shape.
        covariance: R among them, [window, observation, observation].
        taper: localisation, [window, component, observation].
    """

    components: np.ndarray
    known: np.ndarray
    values: np.ndarray
    covariance: np.ndarray
    taper: np.ndarray


def enks(
    observations: np.ndarray,
    flow: keras.layers.Layer,
    observation_covariance: Covariance,
    background: Gaussian,
    members: int = 1000,
    inflation: float = 1.02,
    square_root: bool = False,
    localisation: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Analysis:
    """Ensemble Kalman smoother: every analysis updates all times up to its own.

    The update is stochastic, with perturbed observations (Evensen and van Leeuwen 2000,
    doi:10.1175/1520-0493(2000)128<1852:AEKSFN>2.0.CO;2), or the square root of Whitaker and
    Hamill (2002), eq. 10, doi:10.1175/1520-0493(2002)130<1913:EDAWPO>2.0.CO;2.

    Args:
        observations: [window, time, component], physical units, NaN = not observed.
        flow: the dynamics, a `OneStepFlow` of dtype float64.
        observation_covariance: R.
        background: where the first ensemble is drawn from.
        members: size of the ensemble.
        inflation: factor on the deviations from the mean before each analysis.
        square_root: update without perturbed observations.
        localisation: distance, in components around a circle, beyond which covariances are
            tapered to zero (Gaspari and Cohn 1999, eq. 4.10); none by default.
        seed: of the ensemble and its perturbations.
        progress: called with the windows done and their number.

    Returns:
        Ensemble mean and spread. Costs are the sums of squared innovations, each in units of
        its variance: for linear dynamics, the minimum of the strong-constraint cost.
        Iterations count analyses; a window has converged if its ensemble stayed finite.
    """
    steps, components = observations.shape[1:]
    if members < 2 or inflation <= 0 or (localisation is not None and localisation <= 0):
        raise InputError(
            f"Received members={members}, inflation={inflation}, localisation={localisation}; "
            "expected at least 2 members and positive numbers."
        )
    model = one_step_model(flow, components)
    covariance = covariance_matrix(observation_covariance, components)
    taper = _taper(components, localisation)
    rng = random_stream("ensemble", seed)

    def analyse(windows: slice) -> Analysis:
        chunk = observations[windows]
        count = len(chunk)
        # A window's ensemble comes last but one: covariances are products of matrices.
        # In single precision they are twice as fast, and errors of sampling are far larger.
        ensemble = np.empty((count, members, steps, components), np.float32)
        ensemble[:, :, 0] = background.draw(rng, count, members)
        costs, analyses = np.zeros(count), np.zeros(count, int)
        for time in range(steps):
            if time:
                ensemble[:, :, time] = model.forecast(ensemble[:, :, time - 1].astype(float))
            seen = ~np.isnan(chunk[:, time])
            if seen.any():
                mean = ensemble[:, :, time].mean(axis=1, keepdims=True)
                ensemble[:, :, time] = mean + inflation * (ensemble[:, :, time] - mean)
                observed = _observed(chunk[:, time], covariance, taper)
                costs += _update(ensemble[:, :, : time + 1], observed, square_root, rng)
                analyses += seen.any(axis=1)
        states = ensemble.mean(axis=1, dtype=float)
        finite = np.isfinite(states).all(axis=(1, 2))
        return Analysis(states, costs, analyses, finite, ensemble.std(axis=1, ddof=1, dtype=float))

    return in_chunks(
        analyse, observations, windows_at_once(members * observations[0].size), progress
    )


def _update(
    ensemble: np.ndarray, observed: _Observed, square_root: bool, rng: np.random.Generator
) -> np.ndarray:
    """Update an ensemble [window, member, time, component] whose last time is observed.

    Returns:
        The squared innovations in units of their variance, [window].
    """
    count, members, steps, components = ensemble.shape
    predicted = np.take_along_axis(ensemble[:, :, -1], observed.components[:, None], axis=2)
    predicted *= observed.known[:, None]
    mean = predicted.mean(axis=1)
    anomalies = predicted - mean[:, None]
    states = ensemble.reshape(count, members, -1)
    cross = (states.swapaxes(1, 2) @ anomalies / np.float32(members - 1)).reshape(
        count, steps, components, -1
    ) * observed.taper[:, None]
    variance = np.take_along_axis(cross[:, -1], observed.components[..., None], axis=1)
    total = variance * observed.known[..., None] + observed.covariance
    innovation = observed.values - mean
    inverse = np.linalg.inv(total)
    if square_root:
        # Potter's gain with symmetric roots: P H^T [(S^1/2 + R^1/2) S^1/2]^-1.
        root = _square_root(total)
        reduced = np.linalg.inv((root + _square_root(observed.covariance)) @ root)
        gained = innovation[:, None] @ inverse - anomalies @ reduced.swapaxes(1, 2)
    else:
        noise = rng.normal(size=anomalies.shape) @ _square_root(observed.covariance)
        noise -= noise.mean(axis=1, keepdims=True)
        gained = (innovation[:, None] - anomalies + noise * observed.known[:, None]) @ inverse
    gained = gained.astype(states.dtype)
    states += gained @ cross.reshape(count, steps * components, -1).swapaxes(1, 2)
    return np.einsum("wi,wij,wj->w", innovation, inverse, innovation)


def _observed(values: np.ndarray, covariance: np.ndarray, taper: np.ndarray) -> _Observed:
    """The observations of one time, [window, component], without the gaps between them."""
    seen = ~np.isnan(values)
    most = seen.sum(axis=1).max()
    components = np.argsort(~seen, axis=1, kind="stable")[:, :most]
    known = np.take_along_axis(seen, components, axis=1)
    both = known[:, :, None] & known[:, None]
    among = covariance[components[:, :, None], components[:, None]]
    return _Observed(
        components,
        known,
        np.where(known, np.take_along_axis(values, components, axis=1), 0.0),
        np.where(both, among, np.eye(most)),
        taper[:, components].swapaxes(0, 1).astype(np.float32),
    )


def _taper(components: int, localisation: float | None) -> np.ndarray:
    """Factors on covariances between components, [component, component]."""
    if localisation is None:
        return np.ones((components, components))
    apart = np.abs(np.subtract.outer(np.arange(components), np.arange(components)))
    r = 2 * np.minimum(apart, components - apart) / localisation
    near = 1 + r**2 * (-5 / 3 + r * (5 / 8 + r * (1 / 2 - r / 4)))
    with np.errstate(divide="ignore"):
        far = 4 - 2 / (3 * r) + r * (-5 + r * (5 / 3 + r * (5 / 8 + r * (-1 / 2 + r / 12))))
    return np.where(r <= 1, near, np.where(r <= 2, far, 0.0))


def _square_root(matrices: np.ndarray) -> np.ndarray:
    """Symmetric square roots of symmetric, positive matrices [..., row, column]."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * np.sqrt(values)[..., None, :]) @ vectors.swapaxes(-1, -2)
