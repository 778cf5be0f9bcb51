from dataclasses import replace

import numpy as np
import pytest

from tf4dvar.classical.fields import FieldProblem, OptimalInterpolation, covariance_fit
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError

TIMES, ROWS, COLUMNS = 6, 7, 9
GIVEN = {"length": 3.0, "days": 2.0, "variance": 1.5, "noise_factor": 1.0}
PROFILES = {
    "gaussian": lambda d: np.exp(-(d**2) / 2),
    "exponential": lambda d: np.exp(-d),
    "matern": lambda d: (1 + np.sqrt(3) * d) * np.exp(-np.sqrt(3) * d),
}


def plane(**changes):
    return Grid(np.arange(float(ROWS)), np.arange(float(COLUMNS)), **changes)


def problem(rng, grid=None, members=2, **changes):
    """A fifth of all points observed, with errors of different sizes."""
    shape = (members, TIMES, ROWS, COLUMNS)
    observations = np.where(rng.uniform(size=shape) < 0.2, 3 + rng.normal(size=shape), np.nan)
    given = {
        "observations": observations,
        "noise_variance": rng.uniform(0.05, 0.5, shape),
        "times": np.arange(TIMES) ** 1.2,
        "grid": grid or plane(),
    }
    return FieldProblem(**(given | changes))


def kriging(covariance, cross, values, noise):
    """Estimate and variance of ordinary kriging, from its augmented equations."""
    count = len(values)
    matrix = np.ones((count + 1, count + 1))
    matrix[:count, :count] = covariance + np.diag(noise)
    matrix[-1, -1] = 0
    right = np.column_stack([cross, np.ones(len(cross))])
    weights = np.linalg.solve(matrix, right.T).T
    return weights[:, :-1] @ values, (weights * right).sum(axis=1)


def analysed(method, problem):
    """With the states of the problem where the method learns from some."""
    return method.analyse(problem if method.learns else replace(problem, states=None))


@pytest.mark.parametrize("kernel", PROFILES)
def test_with_all_neighbours_it_is_kriging(kernel, rng):
    given = problem(rng)
    analysis = OptimalInterpolation(kernel, **GIVEN, neighbours=500).analyse(given)
    t, y, x = np.meshgrid(given.times, given.grid.y, given.grid.x, indexing="ij")
    places = np.stack([t / 2, y / 3, x / 3], axis=-1)
    for member in range(2):
        seen = given.observed[member]
        distances = np.linalg.norm(places.reshape(-1, 1, 3) - places[seen], axis=-1)
        cross = 1.5 * PROFILES[kernel](distances)
        estimate, explained = kriging(
            cross[seen.ravel()],
            cross,
            given.observations[member][seen],
            given.variance[member][seen],
        )
        states, spread = analysis.states[member], analysis.spread[member]
        np.testing.assert_allclose(states.ravel(), estimate, rtol=1e-8)
        np.testing.assert_allclose(spread.ravel() ** 2, 1.5 - explained, rtol=1e-8)


def test_more_neighbours_are_nearer_to_all_and_state_a_smaller_error(rng):
    given = problem(rng, members=1)
    analyses = [
        OptimalInterpolation("exponential", **GIVEN, neighbours=count).analyse(given)
        for count in (20, 40, 500)
    ]
    few, some = (np.square(each.states - analyses[-1].states).mean() for each in analyses[:2])
    assert 0 < some < few
    spreads = [each.spread.mean() for each in analyses]
    assert spreads[0] > spreads[1] > spreads[2]


@pytest.mark.parametrize("covariance", ["matern", "states"])
def test_in_a_period_a_shift_shifts_the_maps(covariance, rng):
    grid = plane(periods=(float(ROWS), float(COLUMNS)))
    states = rng.normal(size=(4, 20, ROWS, COLUMNS))
    states = states + np.roll(states, 1, 2) + np.roll(states, 1, 3) + np.roll(states, 1, 1)
    given = problem(rng, grid, times=np.arange(float(TIMES)), states=states)
    moved = problem(
        rng,
        grid,
        observations=np.roll(given.observations, (3, 2), (2, 3)),
        noise_variance=np.roll(given.noise_variance, (3, 2), (2, 3)),
        times=given.times,
        states=states,
    )
    known = {} if covariance == "states" else GIVEN
    method = OptimalInterpolation(covariance, **known, neighbours=500)
    one, other = (analysed(method, each) for each in (given, moved))
    np.testing.assert_allclose(np.roll(one.states, (3, 2), (2, 3)), other.states, atol=1e-9)
    np.testing.assert_allclose(np.roll(one.spread, (3, 2), (2, 3)), other.spread, atol=1e-9)


@pytest.mark.parametrize("covariance", ["matern", "states"])
def test_what_is_on_land_changes_nothing(covariance, rng):
    land = np.zeros((ROWS, COLUMNS), bool)
    land[2:4, 3:8] = True
    states = rng.normal(size=(4, 20, ROWS, COLUMNS)).cumsum(axis=2)
    given = problem(rng, plane(land=land), times=np.arange(float(TIMES)), states=states)
    poisoned = problem(
        rng,
        plane(land=land),
        observations=np.where(land, 1e6, given.observations),
        noise_variance=np.where(land, np.nan, given.noise_variance),
        times=given.times,
        states=np.where(land, np.nan, states),
    )
    known = {} if covariance == "states" else GIVEN
    method = OptimalInterpolation(covariance, **known)
    one, other = (analysed(method, each) for each in (given, poisoned))
    np.testing.assert_array_equal(one.states, other.states)
    np.testing.assert_array_equal(one.spread, other.spread)
    assert np.isnan(one.states[..., land]).all()
    assert np.isfinite(one.spread[..., ~land]).all()


def test_an_observation_of_small_noise_weighs_more(rng):
    observations = np.full((1, 2, 1, 3), np.nan)
    observations[0, 0, 0, 0], observations[0, 0, 0, 2] = 0.0, 1.0
    noise = np.where(np.nan_to_num(observations) == 1, 1e-4, 1.0)
    grid = Grid(np.zeros(1), np.arange(3.0))
    given = FieldProblem(observations, noise, np.arange(2.0), grid)
    assert OptimalInterpolation("matern", **GIVEN).analyse(given).states[0, 0, 0, 1] > 0.7


def field(rng, shape, length, days):
    """A Gaussian random field of Gaussian covariance in a periodic box, variance one."""
    axes = [np.fft.fftfreq(count) for count in shape]
    scales = (days, length, length)
    power = [np.exp(-((2 * np.pi * f * s) ** 2) / 2) for f, s in zip(axes, scales, strict=True)]
    power = np.einsum("i,j,k->ijk", *power)
    noise = np.fft.fftn(rng.normal(size=shape))
    return np.fft.ifftn(noise * np.sqrt(power / power.mean())).real


@pytest.fixture(scope="module")
def simulated():
    """Known fields, a twentieth of them observed with known errors, and their analysis."""
    rng = np.random.default_rng(1)
    truth = np.stack([field(rng, (24, 40, 40), 5.0, 3.0) for _ in range(4)])
    seen = rng.uniform(size=truth.shape) < 0.05
    observations = np.where(seen, truth + 0.2 * rng.normal(size=truth.shape), np.nan)
    side = np.arange(40.0)
    given = FieldProblem(
        observations, 0.04, np.arange(24.0), Grid(side, side, periods=(40.0, 40.0))
    )
    return truth, OptimalInterpolation("gaussian", neighbours=50).analyse(given)


@pytest.mark.long
def test_parameters_of_a_simulated_field_are_found(simulated):
    _, analysis = simulated
    assert analysis.settings["length"] == pytest.approx(5, rel=0.2)
    assert analysis.settings["days"] == pytest.approx(3, rel=0.2)
    # What is near tells the variance to a factor alone: Zhang 2004, doi:10.1198/016214504000000241.
    assert 0.5 < analysis.settings["variance"] < 2
    assert 0.5 < analysis.settings["noise_factor"] < 2


@pytest.mark.long
@pytest.mark.usefixtures("quick_fit")
def test_the_drift_of_a_simulated_field_is_found(rng):
    steps, size, drift = 24, 32, np.array([0.75, -0.5])  # along x and y
    frame = field(rng, (steps, size, size), 3.0, 6.0)
    waves = np.fft.fft2(frame)
    frequencies = np.fft.fftfreq(size)
    phases = np.add.outer(drift[1] * frequencies, drift[0] * frequencies)
    truth = np.fft.ifft2(
        waves * np.exp(-2j * np.pi * np.multiply.outer(np.arange(steps), phases))
    ).real
    seen = rng.uniform(size=truth.shape) < 0.05
    observations = np.where(seen, truth + 0.1 * rng.normal(size=truth.shape), np.nan)
    side = np.arange(float(size))
    grid = Grid(side, side, periods=(float(size), float(size)))
    given = FieldProblem(observations[None], 0.01, np.arange(float(steps)), grid)
    analysis = OptimalInterpolation("gaussian", neighbours=50).analyse(given)
    found = [analysis.settings[each] for each in ("drift_x", "drift_y")]
    np.testing.assert_allclose(found, drift, atol=0.15)
    numbers = {name: float(analysis.settings[name]) for name in GIVEN}
    still = OptimalInterpolation("gaussian", **numbers, neighbours=50).analyse(given)
    errors = [np.sqrt(np.square(each.states[0] - truth).mean()) for each in (analysis, still)]
    assert errors[0] < 0.8 * errors[1]
    assert still.settings["drift_x"] == still.settings["drift_y"] == 0


@pytest.mark.long
@pytest.mark.usefixtures("quick_fit")
@pytest.mark.parametrize("kernel", ["gaussian", "matern"])
def test_the_kernel_of_a_field_below_clouds_is_found(kernel, rng):
    steps, size = 12, 20
    t, y, x = np.mgrid[:steps, :size, :size]
    places = np.stack([t.ravel() / 6, y.ravel() / 5, x.ravel() / 5], axis=1)
    distances = np.linalg.norm(places[:, None] - places, axis=-1)
    covariance = 4 * PROFILES[kernel](distances) + 1e-6 * np.eye(len(places))
    truth = (np.linalg.cholesky(covariance) @ rng.normal(size=len(places))).reshape(t.shape)
    clouds = np.sin((x + 2 * t) / 2) + np.cos((y - t) / 3) > 0
    observations = np.where(clouds, np.nan, truth + 0.2 * rng.normal(size=t.shape))[None]
    side = np.arange(float(size))
    given = FieldProblem(observations, 0.04, np.arange(float(steps)), Grid(side, side))
    analysis = OptimalInterpolation(neighbours=40).analyse(given)
    assert analysis.settings["kernel"] == kernel
    scaled = ((analysis.states - truth) / analysis.spread)[0][clouds]
    assert 0.8 < scaled.std() < 1.2


@pytest.mark.long
def test_the_spread_is_the_error_of_a_simulated_field(simulated):
    truth, analysis = simulated
    errors = analysis.states - truth
    assert np.sqrt(np.square(errors).mean()) < 0.25
    assert 0.9 < (errors / analysis.spread).std() < 1.1


@pytest.mark.long
def test_given_parameters_are_kept(rng):
    given = problem(rng, members=1)
    method = OptimalInterpolation(length=3.0, noise_factor=1.0, neighbours=20)
    settings = method.analyse(given).settings
    assert (settings["length"], settings["noise_factor"]) == (3.0, 1.0)
    assert settings["kernel"] in PROFILES


@pytest.mark.long
@pytest.mark.usefixtures("quick_fit")
def test_a_fit_leaves_out_what_is_not_positive_definite(rng, monkeypatch):
    def departures(covariance, *rest):
        if covariance.length > 3:
            raise InputError("not positive definite")
        return covariance_fit_departures(covariance, *rest)

    covariance_fit_departures = covariance_fit.departures
    monkeypatch.setattr(covariance_fit, "departures", departures)
    truth = field(rng, (TIMES, 24, 24), 4.0, 3.0)
    observations = np.where(rng.uniform(size=truth.shape) < 0.3, truth, np.nan)[None]
    grid = Grid(np.arange(24.0), np.arange(24.0))
    given = FieldProblem(observations, 1e-4, np.arange(float(TIMES)), grid)
    analysis = OptimalInterpolation("gaussian", neighbours=16).analyse(given)
    assert 2 < analysis.settings["length"] <= 3


def test_a_constant_is_a_constant(rng):
    given = problem(rng)
    given = problem(rng, observations=np.where(given.observed, 280.0, np.nan), noise_variance=1.0)
    states = OptimalInterpolation("matern", neighbours=20).analyse(given).states
    np.testing.assert_allclose(states, 280.0)


def test_what_is_no_problem_of_it_is_refused(rng):
    with pytest.raises(InputError, match="Received length with the covariance of states"):
        OptimalInterpolation("states", length=3.0)
    with pytest.raises(InputError, match="Received no states"):
        OptimalInterpolation("states").analyse(problem(rng))
    everywhere = problem(rng, observations=rng.normal(size=(2, TIMES, ROWS, COLUMNS)))
    with pytest.raises(InputError, match="none can be withheld as gaps are"):
        OptimalInterpolation().analyse(everywhere)
    many = OptimalInterpolation("matern", **GIVEN, neighbours=10**9)
    wide = Grid(np.arange(2000.0), np.arange(1000.0))
    with pytest.raises(InputError, match="Take fewer"):
        many.analyse(FieldProblem(np.ones((1, 2, 2000, 1000)), 1.0, np.arange(2.0), wide))
    dense = problem(rng, noise_variance=1e-30)
    with pytest.raises(InputError, match="not positive definite"):
        OptimalInterpolation("gaussian", length=1e3, days=1e3, variance=1.0).analyse(dense)
