"""Filters against Kalman's own on linear dynamics, and against each other."""

from dataclasses import replace

import numpy as np
import pytest

from tf4dvar.classical import Gaussian, Problem
from tf4dvar.classical.cycled import (
    FILTERS,
    LETKF,
    EnKF,
    ExtendedKalmanFilter,
    IEnKS,
    ParticleFilter,
    ThreeDVar,
)
from tf4dvar.classical.cycled.ensemble_filters import WIDEST, Members, rotation
from tf4dvar.classical.cycled.filter import seen_of
from tf4dvar.classical.cycled.iterative_smoother import Lagged
from tf4dvar.errors import DivergenceError, InputError
from tf4dvar.experiments import true_flow
from tf4dvar.systems import (
    Lorenz63,
    Lorenz96,
    System,
    random_stream,
    sample_windows,
    trajectories,
)

STEPS = 25
# Not those that are learned, which are there where they are imported.
CLASSICAL = [name for name, of in FILTERS.items() if "classical" in of.__module__]
NOISE = np.array([0.3, 0.6])
SWING = np.array([[-0.1, 1.0], [-1.0, -0.1]])


def swinging(state, damping):
    return [state[..., 1] - damping * state[..., 0], -state[..., 0] - damping * state[..., 1]]


@pytest.fixture(scope="module")
def system():
    return System(
        swinging,
        components=("a", "b"),
        time_step=0.2,
        initial=lambda count, rng: rng.normal(size=(count, 2)),
        damping=0.1,
    )


@pytest.fixture
def problem(system, rng):
    """Two series, one of which sees both components in places, and for a while nothing."""
    truth = trajectories(system, rng.normal(size=(2, 2)), STEPS)
    observations = truth + np.sqrt(NOISE) * rng.normal(size=truth.shape)
    observations[:, ::2] = np.nan
    observations[1, 1::4, 1] = np.nan
    observations[0, 9:17] = np.nan
    background = Gaussian(np.zeros(2), np.array([[1.0, 0.3], [0.3, 0.8]]))
    flow = true_flow(system, "float64")
    return Problem(observations, flow, NOISE, background, system=system)


def kalman(problem, inflation=1.0):
    """Kalman's filter, written out for the series of linear dynamics one by one."""
    step = problem.system.step(np.eye(2)).T
    for series in problem.observations:
        mean, covariance = problem.background.mean, problem.background.covariance
        means, covariances = [], []
        for time, values in enumerate(series):
            if time:
                mean, covariance = step @ mean, step @ covariance @ step.T
            seen = ~np.isnan(values)
            if seen.any():
                matrix = np.eye(2)[seen]
                gain = covariance @ matrix.T
                gain = gain @ np.linalg.inv(matrix @ gain + np.diag(NOISE[seen]))
                mean = mean + gain @ (values[seen] - mean[seen])
                covariance = inflation**2 * (covariance - gain @ matrix @ covariance)
            means.append(mean)
            covariances.append(covariance)
        yield np.array(means), np.array(covariances)


def run(method, problem, **settings):
    found = [estimate for _, estimate in method.run(problem, **settings)]
    return [np.stack(each, axis=1) for each in zip(*found, strict=True)]


def test_the_extended_filter_of_linear_dynamics_is_kalmans(problem):
    mean, spread, misfit = run(ExtendedKalmanFilter(inflation=1.1), problem)
    for series, (expected, covariance) in enumerate(kalman(problem, 1.1)):
        np.testing.assert_allclose(mean[series], expected, atol=1e-5)
        deviation = np.sqrt(np.einsum("tii->ti", covariance))
        np.testing.assert_allclose(spread[series], deviation, atol=1e-5)
    np.testing.assert_array_equal(np.isnan(misfit), ~problem.observed.any(axis=2))


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [
        (EnKF(members=4000, inflation=1.0, rotation=False), 0.1),
        (EnKF(members=4000, inflation=1.0, analysis_by="perturbed", rotation=False), 0.1),
        (ParticleFilter(members=40_000), 0.1),
    ],
    ids=["square-root", "perturbed", "particle"],
)
@pytest.mark.long
def test_with_many_members_all_are_kalmans(problem, method, tolerance):
    mean, spread, _ = run(method, problem)
    for series, (expected, covariance) in enumerate(kalman(problem)):
        deviation = np.sqrt(np.einsum("tii->ti", covariance))
        np.testing.assert_allclose((mean[series] - expected) / deviation, 0.0, atol=tolerance)
        np.testing.assert_allclose(spread[series] / deviation, 1.0, atol=tolerance)


def test_the_square_root_has_the_covariance_of_the_analysis_exactly(problem, rng):
    members = rng.normal(size=(2, 9, 2))
    method = EnKF(members=9, inflation=1.0)
    seen = [seen_of(problem, series, 3) for series in range(2)]
    found, _ = method.update(problem, Members(members), seen, None, rng)
    for series, (before, after) in enumerate(zip(members, found.members, strict=True)):
        values = problem.observations[series, 3]
        entries = ~np.isnan(values)
        covariance = np.cov(before, rowvar=False)
        gain = covariance[:, entries]
        gain = gain @ np.linalg.inv(covariance[entries][:, entries] + np.diag(NOISE[entries]))
        mean = before.mean(axis=0) + gain @ (values - before.mean(axis=0))[entries]
        np.testing.assert_allclose(after.mean(axis=0), mean, atol=1e-12)
        expected = covariance - gain @ covariance[entries]
        np.testing.assert_allclose(np.cov(after, rowvar=False), expected, atol=1e-12)


@pytest.mark.parametrize("lag", [1, 3])
def test_of_linear_dynamics_fitting_over_a_window_is_filtering(problem, lag):
    """Of several series, one of which is not observed at times when the other is."""
    values = problem.observations.copy()
    values[1, 5] = np.nan
    problem = replace(problem, observations=values)
    settings = {"members": 7, "inflation": 1.0, "rotation": False}
    one, other = run(EnKF(**settings), problem), run(IEnKS(**settings, lag=lag), problem)
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-8)


def test_without_localisation_the_local_filter_is_the_global_one(problem):
    settings = {"members": 7, "inflation": 1.03, "rotation": False}
    one, other = run(EnKF(**settings), problem), run(LETKF(**settings, localisation=1e9), problem)
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-8)


def test_far_observations_do_not_count(rng):
    observations = np.full((1, 1, 40), np.nan)
    observations[0, 0, 10] = 3.0
    prior = Gaussian(np.zeros(40), np.ones(40))
    problem = Problem(observations, None, 1.0, prior, system=Lorenz96())
    members = rng.normal(size=(1, 8, 40))
    method = LETKF(members=8, inflation=1.0, localisation=6.0, rotation=False)
    found, _ = method.update(problem, Members(members), [seen_of(problem, 0, 0)], None, rng)
    moved = np.abs(found.members - members).max(axis=(0, 1)) > 1e-12
    assert np.flatnonzero(moved).tolist() == list(range(5, 16))


def test_correlated_errors_of_observations(system, rng):
    """Whitened, they are as in the formula."""
    noise = np.array([[0.5, 0.2], [0.2, 0.4]])
    observations = rng.normal(size=(1, 1, 2))
    prior = Gaussian(np.zeros(2), np.array([[1.0, 0.3], [0.3, 0.8]]))
    problem = Problem(
        observations, true_flow(system, "float64"), noise[None, None], prior, system=system
    )
    mean, _, _ = run(ExtendedKalmanFilter(inflation=1.0), problem)
    expected = prior.covariance @ np.linalg.solve(prior.covariance + noise, observations[0, 0])
    np.testing.assert_allclose(mean[0, 0], expected, rtol=1e-10)
    with pytest.raises(InputError, match="letkf takes variances alone"):
        run(LETKF(), problem)


def test_one_particle_may_have_all_the_weight(rng):
    values = sample_windows(Lorenz63(), 1, 3, rng)
    problem = Problem(values, None, 1e-3, system=Lorenz63())
    mean, spread, _ = run(ParticleFilter(members=50), problem)
    assert np.isfinite(mean).all()
    assert np.isfinite(spread).all()


def test_the_flow_moves_where_there_is_one(system, problem):
    """The system is what it is drawn from and compared with."""
    other = System(swinging, components=("a", "b"), time_step=0.2, initial=None, damping=2.0)
    slowed = replace(problem, flow=true_flow(other, "float64"))
    assert np.abs(run(EnKF(), slowed)[0] - run(EnKF(), problem)[0]).max() > 0.1


@pytest.mark.parametrize("name", CLASSICAL)
def test_pieces_are_the_whole(problem, name):
    method = FILTERS[name](**({"members": 50} if "members" in _settings(name) else {}))
    whole, position, parts = run(method, problem), None, []
    for first, last in ((0, 8), (8, 9), (9, STEPS - 1)):
        piece = problem.__class__(
            problem.observations[:, first : last + 1],
            problem.flow,
            NOISE,
            problem.background,
            system=problem.system,
        )
        found = list(method.run(piece, position, first))
        position = found[-1][0]
        parts += [estimate for _, estimate in found]
    for all_, of in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(all_, np.stack(of, axis=1))


@pytest.mark.parametrize("name", CLASSICAL)
def test_without_the_times_between_the_others_are_the_same(problem, name):
    method = FILTERS[name](**({"members": 50} if "members" in _settings(name) else {}))
    whole = list(method.run(problem))
    observed = problem.observed.any(axis=(0, 2))
    kept = [0, *np.flatnonzero(observed[1:-1]) + 1, len(observed) - 1]
    some = list(method.run(problem, between=False))
    assert 2 < len(some) == len(kept) < len(whole)
    for time, (position, estimate) in zip(kept, some, strict=True):
        for found, expected in zip(estimate, whole[time][1], strict=True):
            np.testing.assert_array_equal(found, expected)
        for found, expected in zip(position.known, whole[time][0].known, strict=True):
            np.testing.assert_array_equal(found, expected)


def _settings(name):
    return {each.name for each in FILTERS[name].settings()}


def test_a_rotation_leaves_mean_and_covariance():
    turn = rotation(6, random_stream("example", 0))
    np.testing.assert_allclose(turn @ turn.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(turn @ np.ones(6), 1.0, atol=1e-12)
    assert np.abs(turn - np.eye(6)).max() > 0.1


@pytest.mark.parametrize("kind", [EnKF, LETKF, IEnKS])
def test_a_filter_that_is_off_and_does_not_know_is_told_by_its_innovations(kind, system, rng):
    truth = trajectories(system, np.zeros((1, 2)), 8)
    observations = truth + np.sqrt(NOISE) * rng.normal(size=truth.shape)
    background = Gaussian(np.full(2, 8.0), 0.01)
    problem = Problem(observations, None, NOISE, background, system=system)
    errors = {}
    for likely in (0.0, 0.01):
        mean, spread, _ = run(kind(members=30, adaptive_inflation=likely), problem)
        errors[likely] = np.abs(mean - truth)[0, -1].mean() / spread[0, -1].mean()
    assert errors[0.01] < 3 < 10 < errors[0.0]


def test_a_forecast_is_as_wide_as_surprising_innovations_ask_for(rng):
    filter = EnKF(adaptive_inflation=0.01)
    anomalies = rng.normal(size=(40, 20)) / np.sqrt(39)
    innovation = 2.5 * rng.normal(size=20)
    wider = filter.widening(innovation, anomalies, misfit=3.0)
    expected = 20 + np.square(wider * anomalies).sum()
    np.testing.assert_allclose(np.square(innovation).sum(), expected)
    # 37.57 is the quantile of 20 degrees of freedom that is exceeded by chance once in a hundred.
    assert filter.widening(innovation, anomalies, misfit=37.6 / 20) == wider
    assert filter.widening(innovation, anomalies, misfit=37.5 / 20) == 1
    assert EnKF().widening(innovation, anomalies, misfit=50.0) == 1
    assert filter.widening(100 * innovation, anomalies, misfit=50.0) == WIDEST
    assert filter.widening(innovation / 100, anomalies, misfit=50.0) == 1


def test_divergence_is_told(system):
    values = np.full((1, 5, 3), 1e30)
    problem = Problem(values, None, 1.0, Gaussian(np.zeros(3), 1.0), system=Lorenz63())
    with pytest.raises(DivergenceError, match=r"enkf diverges at time 1.* 1 of 1 series"):
        run(EnKF(), problem)


def test_an_ensemble_that_goes_astray_while_it_is_fitted_is_told():
    values = np.array([[[1e30, 0.0, 0.0]] * 3])
    problem = Problem(values, None, 1.0, Gaussian(np.zeros(3), 1.0), system=Lorenz63())
    with pytest.raises(DivergenceError, match="ienks diverges"):
        run(IEnKS(members=5), problem)


def test_a_step_that_makes_the_fit_worse_is_halved(rng):
    """Of arctan(6 x), seen at zero from 2 on, Gauss-Newton steps go to and fro."""
    members, noise = np.array([[[1.98], [2.02]]]), 1e-4
    problem = Problem(np.zeros((1, 1, 1)), None, noise, Gaussian(np.zeros(1), 1.0))

    def move(states, time):
        return np.arctan(6 * states)

    method = IEnKS(members=2, inflation=1.0, rotation=False, lag=1, iterations=12)
    known = Lagged(members, move(members, 0), np.ones((1, 1), int))
    found, _ = method.update(problem, known, [seen_of(problem, 0, 0)], move, rng)
    # The least of the cost is at 0.0005; without, they are at -0.1 by then.
    np.testing.assert_allclose(found.members.mean(), 0, atol=0.05)


def test_forced_dynamics_are_refused_where_covariates_are_not_kept(problem):
    system = System(
        lambda state, wind: [wind - state[..., 0]],
        components=("speed",),
        time_step=0.1,
        initial=np.zeros((1, 1)),
        covariates=("wind",),
        name="drift",
    )
    given = Problem(
        np.zeros((1, 3, 1)),
        true_flow(system, "float64"),
        1.0,
        Gaussian(np.zeros(1), 1.0),
        system=system,
        covariates=np.ones((1, 3, 1)),
    )
    with pytest.raises(InputError, match="Received covariates; ienks"):
        run(IEnKS(), given)


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "published"),
    [
        (EnKF(members=24, inflation=1.013), 0.18),
        (LETKF(members=7), 0.22),
        (ThreeDVar(), 0.41),
    ],
    ids=["enkf", "letkf", "3dvar"],
)
def test_lorenz96_all_observed_is_as_published(method, published, rng):
    """Sakov and Oke (2008), as DAPPER has it: 300 cycles after 100."""
    system = Lorenz96()
    start = np.eye(1, 40)[0]
    truth = trajectories(system, start + np.sqrt(0.001) * rng.normal(size=(1, 40)), 400)
    observations = truth + rng.normal(size=truth.shape)
    observations[:, 0] = np.nan
    problem = Problem(observations, None, 1.0, Gaussian(start, 0.001), system=system)
    mean, spread, misfit = run(method, problem)
    error = np.sqrt(np.square(mean - truth).mean(axis=2))[0, 100:].mean()
    assert error == pytest.approx(published, rel=0.15)
    assert np.sqrt(np.square(spread[0, 100:]).mean()) == pytest.approx(error, rel=0.25)
    assert misfit[0, 100:].mean() == pytest.approx(1.0, abs=0.1)
