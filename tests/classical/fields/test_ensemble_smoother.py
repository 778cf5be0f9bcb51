from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest

from tf4dvar.classical.fields import (
    FIELD_METHODS,
    AutoregressiveSmoother,
    FieldProblem,
    autoregressive_smoother,
)
from tf4dvar.classical.fields.autoregressive_smoother import (
    WAVES,
    patterns_of_kernel,
    patterns_of_states,
)
from tf4dvar.classical.fields.covariances import SeparableCovariance
from tf4dvar.classical.fields.ensemble_smoother import EnsembleSmoother
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError

SIZE, TIMES = (6, 8), 7
KERNEL = {"covariance": "matern", "length": 3.0, "days": 4.0, "variance": 2.0, "noise_factor": 1.0}
LAND = np.zeros(SIZE, bool)
LAND[2:4, 3:6] = True
ROWS, COLUMNS = np.arange(6.0), np.arange(8.0)
GRIDS = {
    "plane": Grid(ROWS, COLUMNS),
    "box": Grid(ROWS, COLUMNS, periods=(6.0, 8.0)),
    "sphere": Grid(60 + ROWS / 100, 179.96 + COLUMNS / 100, spherical=True),
    "land": Grid(ROWS, COLUMNS, land=LAND),
}


def problem(rng, share=0.3, members=1, **changes):
    shape = (members, TIMES, *SIZE)
    seen = rng.uniform(size=shape) < share
    given = {
        "observations": np.where(seen, 5 + rng.normal(size=shape), np.nan),
        "noise_variance": rng.uniform(0.2, 0.5, shape),
        "times": np.arange(TIMES) ** 1.1,
        "grid": GRIDS["plane"],
    }
    return FieldProblem(**(given | changes))


def covariance_of(given, kernel="matern"):
    values = KERNEL["length"], KERNEL["days"], KERNEL["variance"]
    return SeparableCovariance(given.grid, given.times, kernel, *values)


@pytest.mark.parametrize("square_root", [False, True])
def test_a_large_ensemble_is_the_exact_smoother(square_root, rng, monkeypatch):
    monkeypatch.setattr(autoregressive_smoother, "WAVES", 200)
    given = problem(rng)
    settings = KERNEL | {"localisation": None, "lag": 99.0, "square_root": square_root}
    patterns = patterns_of_kernel(covariance_of(given)).astype("f8")
    lags = np.sqrt(3) * np.abs(np.subtract.outer(given.times, given.times)) / KERNEL["days"]
    covariance = np.kron((1 + lags) * np.exp(-lags), patterns.T @ patterns)
    seen = given.observed.ravel()
    mean = given.observations.ravel()[seen].mean()
    total = covariance[np.ix_(seen, seen)] + np.diag(given.variance.ravel()[seen])
    gain = covariance[:, seen] @ np.linalg.inv(total)
    expected = mean + gain @ (given.observations.ravel()[seen] - mean)
    variance = np.diag(covariance) - (gain * covariance[:, seen]).sum(axis=1)
    spread = np.sqrt(variance)
    missed = []
    for members in (400, 6400):
        analysis = AutoregressiveSmoother(**settings, members=members).analyse(given)
        missed.append((analysis.states.ravel() - expected).std() / spread.mean())
    # Errors of sampling: as one over the root of the number.
    assert missed[1] < 0.1
    assert missed[1] < missed[0] / 3
    np.testing.assert_allclose(analysis.spread.ravel(), spread, rtol=0.1)


@dataclass(frozen=True)
class Given(EnsembleSmoother):
    """With an ensemble that is given, and stays."""

    ensemble: np.ndarray | None = None

    fields, held, held_by_member = 2, 0, 0

    def draw(self, members, rng):
        return self.ensemble

    def forecast(self, states, days, rng):
        return states

    def analysed(self, given):
        return self.smoothed(given, self, lambda done, total: None)


def apart(grid, one, other):
    """Kilometres between two points of a grid, by what the word means."""
    (i, j), (k, m) = one, other
    if grid.spherical:
        lat, lon = np.radians(grid.y), np.radians(grid.x)
        cosine = np.sin(lat[i]) * np.sin(lat[k])
        cosine += np.cos(lat[i]) * np.cos(lat[k]) * np.cos(lon[j] - lon[m])
        return 6371 * np.arccos(min(cosine, 1.0))
    images = [(0,) if each is None else (-each, 0, each) for each in grid.periods]
    return min(
        np.hypot(grid.y[i] - grid.y[k] + u, grid.x[j] - grid.x[m] + v) for u, v in product(*images)
    )


def taper(distance, support):
    """Gaspari and Cohn (1999), eq. 4.10, as it is printed; c = support / 2."""
    if support is None:
        return 1.0
    r = distance / (support / 2)
    if r <= 1:
        return -(r**5) / 4 + r**4 / 2 + 5 * r**3 / 8 - 5 * r**2 / 3 + 1
    if r <= 2:
        far = r**5 / 12 - r**4 / 2 + 5 * r**3 / 8 + 5 * r**2 / 3 - 5 * r + 4
        return far - 2 / (3 * r)
    return 0.0


@pytest.mark.parametrize(("name", "support"), [*product(GRIDS, [3.0]), ("plane", None)])
def test_an_analysis_is_that_of_the_textbook_with_covariances_times_the_taper(name, support, rng):
    grid, members = GRIDS[name], 12
    observations = np.full((1, 2, *SIZE), np.nan)
    places = [(0, 0), (1, 2), (5, 7), (2, 1), (3, 3)]
    for row, column in places:
        observations[0, 0, row, column] = rng.normal()
    given = FieldProblem(observations, 0.3, np.arange(2.0), grid)
    places = [place for place in places if grid.sea[place]]
    ensemble = rng.normal(size=(members, 2, *SIZE))
    settings = {"members": members, "localisation": support, "square_root": True}
    states, spread = Given(**settings, ensemble=ensemble).analysed(given)
    mean, anomalies = ensemble[:, 0].mean(axis=0), ensemble[:, 0] - ensemble[:, 0].mean(axis=0)

    def localised(one, other):
        product = (anomalies[:, *one] * anomalies[:, *other]).sum() / (members - 1)
        return taper(apart(grid, one, other), support) * product

    total = np.array([[localised(one, other) for other in places] for one in places])
    total += 0.3 * np.eye(len(places))
    innovation = np.array([observations[0, 0][place] - mean[place] for place in places])
    for point in np.argwhere(grid.sea):
        cross = np.array([localised(tuple(point), place) for place in places])
        expected = mean[*point] + cross @ np.linalg.solve(total, innovation)
        np.testing.assert_allclose(states[0, :, *point], expected, atol=2e-5)
        if support is None:
            variance = localised(tuple(point), tuple(point)) - cross @ np.linalg.solve(total, cross)
            np.testing.assert_allclose(spread[0, :, *point], np.sqrt(variance), rtol=1e-4)


def test_around_a_period_the_support_is_half_of_it_at_most(rng, caplog):
    given = problem(rng, grid=GRIDS["box"])
    ensemble = rng.normal(size=(10, 2, *SIZE))
    states = [
        Given(members=10, localisation=support, ensemble=ensemble).analysed(given)[0]
        for support in (3.0, 100.0)
    ]
    np.testing.assert_array_equal(*states)
    assert "zero from 3 km on, half a period, in place of localisation=100" in caplog.text


@pytest.mark.parametrize("kernel", ["gaussian", "exponential", "matern"])
@pytest.mark.parametrize("name", ["box", "sphere"])
def test_waves_have_the_covariance_of_the_kernel(kernel, name, rng):
    given = problem(rng, grid=GRIDS[name])
    covariance = covariance_of(given, kernel)
    patterns = patterns_of_kernel(covariance)
    points = np.arange(patterns.shape[1])
    error = patterns.T @ patterns - covariance.between(points, points)
    assert error.std() < 2 * covariance.variance / np.sqrt(2 * WAVES)
    np.testing.assert_allclose(np.diag(error), 0, atol=1e-4)


def test_land_takes_no_part(rng):
    states = rng.normal(size=(20, 3, *SIZE))
    given = problem(rng, share=0.6, grid=GRIDS["land"], states=states)
    poisoned = replace(
        given,
        observations=np.where(LAND, 1e9, given.observations),
        states=np.where(LAND, np.nan, states),
    )
    for settings in (KERNEL, {"covariance": "states"}):
        method = AutoregressiveSmoother(**settings, members=10, localisation=4.0)
        seen = given, poisoned
        if not method.learns:
            seen = tuple(replace(each, states=None) for each in seen)
        clean, other = map(method.analyse, seen)
        np.testing.assert_array_equal(other.states, clean.states)
        np.testing.assert_array_equal(other.spread, clean.spread)
        assert np.isnan(clean.states[..., LAND]).all()
        assert np.isfinite(clean.states[..., ~LAND]).all()


def test_an_observation_reaches_back_as_long_as_the_lag(rng):
    given = problem(rng)
    changed = given.observations.copy()
    changed[:, -1] += 1
    ensemble = rng.normal(size=(10, 2, *SIZE))
    smoother = Given(members=10, lag=3.0, ensemble=ensemble)
    states = [
        smoother.analysed(replace(given, observations=each))[0]
        for each in (given.observations, changed)
    ]
    moved = np.abs(states[1] - states[0]).max(axis=(0, 2, 3))
    np.testing.assert_array_equal(moved > 0, given.times >= given.times[-1] - 3.0)
    assert 0 < (moved > 0).sum() < TIMES


def test_members_do_not_know_each_other_and_the_seed_repeats_them(rng):
    given = problem(rng, members=2)
    method = AutoregressiveSmoother(**KERNEL, members=10)
    together = method.analyse(given)
    alone = method.analyse(
        replace(given, observations=given.observations[1:], noise_variance=given.noise_variance[1:])
    )
    np.testing.assert_allclose(alone.states[0], together.states[1], atol=1e-6)
    np.testing.assert_allclose(alone.spread[0], together.spread[1], atol=1e-6)
    other = replace(method, seed=1).analyse(given)
    assert not np.allclose(other.states, together.states)


def simulated(rng, days=10, side=14, share=0.1, noise=0.1, samples=1):
    """Truths of the kernel, by the root of its covariance, and the problem of the first."""
    axis = np.arange(float(side))
    grid, times = Grid(axis, axis), np.arange(float(days))
    covariance = SeparableCovariance(grid, times, "matern", 4.0, 5.0, 1.0)
    points = np.arange(days * side**2)
    root = np.linalg.cholesky(covariance.between(points, points) + 1e-9 * np.eye(len(points)))
    truths = (rng.normal(size=(samples, len(points))) @ root.T).reshape(-1, days, side, side)
    noisy = truths[:1] + np.sqrt(noise) * rng.normal(size=truths[:1].shape)
    observations = np.where(rng.uniform(size=noisy.shape) < share, noisy, np.nan)
    return truths, FieldProblem(observations, noise, times, grid)


def test_the_spread_is_that_of_the_error(rng):
    truth, given = simulated(rng)
    settings = {"length": 4.0, "days": 5.0, "variance": 1.0, "noise_factor": 1.0}
    method = AutoregressiveSmoother(**settings, members=100, localisation=12.0)
    analysis = method.analyse(given)
    error = analysis.states - truth
    assert error.std() < 0.6
    assert 0.8 < (error / analysis.spread).std() < 1.3


def test_blocks_with_some_neighbours_are_about_as_good(rng):
    truth, given = simulated(rng, days=4, share=0.9)
    settings = {"length": 4.0, "days": 5.0, "variance": 1.0, "noise_factor": 1.0}
    all_of_them = AutoregressiveSmoother(**settings, localisation=6.0)
    few = replace(all_of_them, neighbours=100)
    assert given.observed.sum(axis=(2, 3)).min() > 150
    errors = [(each.analyse(given).states - truth).std() for each in (all_of_them, few)]
    assert errors[1] < 1.1 * errors[0] < 0.4


@pytest.mark.long
def test_parameters_are_fitted_as_those_of_the_interpolation(rng):
    """With so many days that rounding does not decide between kernels."""
    _, given = simulated(rng, days=16)
    known = {"days": 5.0, "noise_factor": 1.0}
    settings = AutoregressiveSmoother(members=5, **known).analyse(given).settings
    expected = FIELD_METHODS["oi"](**known).analyse(given).settings
    assert settings["kernel"] == expected["kernel"] == "matern"
    assert settings["days"] == 5.0
    assert settings["length"] == pytest.approx(expected["length"], rel=0.05)
    assert settings["length"] == pytest.approx(4.0, rel=0.25)
    seen = given.observations[given.observed]
    np.testing.assert_allclose(settings["variance"], seen.var() - 0.1)


def test_states_tell_how_long_a_field_lasts(rng):
    series, given = simulated(rng, samples=20)
    with_states = replace(given, states=series[1:])
    patterns, mean, days = patterns_of_states(with_states)
    assert 3.0 < days < 7.0
    np.testing.assert_allclose(mean, series[1:].mean(axis=(0, 1)))
    anomalies = (series[1:] - mean).reshape(-1, mean.size)
    np.testing.assert_allclose(
        patterns.T @ patterns, anomalies.T @ anomalies / len(anomalies), atol=1e-4
    )
    method = AutoregressiveSmoother(covariance="states", localisation=10.0)
    assert (method.analyse(with_states).states - series[:1]).std() < 0.7


@pytest.mark.parametrize(
    ("settings", "changes", "said"),
    [
        ({"covariance": "states"}, {}, "Received no states that follow each other"),
        ({"covariance": "states"}, {"states": np.ones((9, 1, *SIZE))}, "two of them in a row"),
        ({"covariance": "states"}, {"states": np.ones((9, 2, *SIZE))}, "all the same"),
        ({"members": 10**9}, {}, "Take fewer members"),
        (KERNEL | {"neighbours": 10**7, "members": 10**10}, {}, "GB are needed; there are"),
    ],
)
def test_what_it_cannot_take_is_refused(settings, changes, said, rng):
    with pytest.raises(InputError, match=said):
        AutoregressiveSmoother(**settings).analyse(problem(rng, **changes))


@pytest.mark.parametrize("name", ["enks", "enks-qg"])
@pytest.mark.parametrize(
    "wrong",
    [{"members": 1}, {"inflation": 0.0}, {"localisation": -1.0}, {"lag": -1.0}, {"neighbours": 0}],
)
def test_settings_are_checked(name, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        FIELD_METHODS[name](**wrong)
