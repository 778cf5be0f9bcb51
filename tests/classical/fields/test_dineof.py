import numpy as np
import pytest
from scipy import linalg

from tf4dvar.classical.fields import Dineof, FieldProblem
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.systems.clouds import Clouds

DAYS, SIDE, NOISE = 40, 12, 0.1


def fields(rng, rank=3, days=DAYS):
    """A mean and a sum of patterns with amplitudes that vary slowly, [day, y, x]."""
    steps = np.arange(days)[:, None] / rng.uniform(6, 15, rank) + rng.uniform(0, 6, rank)
    patterns = rng.normal(size=(rank, SIDE, SIDE))
    return 5 + np.einsum("tr,ryx->tyx", np.sin(steps), patterns)


def problem(observations, noise_variance=NOISE**2, land=None, times=None):
    grid = Grid(np.arange(SIDE * 1.0), np.arange(SIDE * 1.0), land=land)
    observations = observations[None] if observations.ndim == 3 else observations
    days = np.arange(observations.shape[1] * 1.0) if times is None else times
    return FieldProblem(observations, noise_variance, days, grid)


def below_clouds(truth, rng):
    seen = Clouds(share=0.4, size=500e3).seen(len(truth), SIDE, 1e6, rng)
    return np.where(seen, truth + NOISE * rng.normal(size=truth.shape), np.nan)


def rmse(one, other, where):
    return np.sqrt(np.square(one - other)[where].mean())


@pytest.mark.parametrize("days", [DAYS, 2 * SIDE**2])
def test_a_field_of_few_eofs_is_found_whole(rng, days):
    truth = fields(rng, days=days)
    gappy = np.where(rng.uniform(size=truth.shape) < 0.3, np.nan, truth)
    method = Dineof(tolerance=1e-6, iterations=2000, eofs=4)
    analysis = method.analyse(problem(gappy, 1e-12))
    # Three, and that by which the mean of the observations is not that of the field.
    assert analysis.settings["eofs_0"] == 4
    np.testing.assert_allclose(analysis.states[0], truth, atol=1e-3)


def test_without_gaps_it_is_the_leading_eofs(rng):
    complete = fields(rng) + NOISE * rng.normal(size=(DAYS, SIDE, SIDE))
    analysis = Dineof().analyse(problem(complete))
    anomalies = (complete - complete.mean()).reshape(DAYS, -1)
    left, values, right = linalg.svd(anomalies, full_matrices=False)
    values[int(analysis.settings["eofs_0"]) :] = 0.0
    expected = (left * values) @ right + complete.mean()
    np.testing.assert_allclose(analysis.states[0].reshape(DAYS, -1), expected, atol=1e-10)


def alternating(values, known, count, sweeps=30):
    """Amplitudes and patterns by turns, each by least squares of what is observed alone."""
    amplitudes = np.random.default_rng(0).normal(size=(len(values), count))
    patterns = np.empty((count, values.shape[1]))
    for _ in range(sweeps):
        for point, there in enumerate(known.T):
            patterns[:, point] = linalg.lstsq(amplitudes[there], values[there, point])[0]
        for day, there in enumerate(known):
            amplitudes[day] = linalg.lstsq(patterns[:, there].T, values[day, there])[0]
    return amplitudes @ patterns


def alternating_least_squares(observations, rng):
    """The same model of the data, fitted in another way; the count by points withheld at random."""
    values = observations.reshape(len(observations), -1)
    known = np.isfinite(values)
    mean = values[known].mean()
    values = np.where(known, values - mean, 0.0)
    withheld = known & (rng.uniform(size=known.shape) < 0.05)
    errors = [
        rmse(alternating(values, known & ~withheld, count, 10), values, withheld)
        for count in range(1, 7)
    ]
    fitted = alternating(values, known, 1 + int(np.argmin(errors)))
    return mean + fitted.reshape(observations.shape)


def test_it_is_as_good_as_another_way_to_fit_the_same(rng):
    truth = fields(rng)
    observations = below_clouds(truth, rng)
    gaps = np.isnan(observations)
    analysis = Dineof(tolerance=1e-4, iterations=2000).analyse(problem(observations))
    reference = alternating_least_squares(observations, rng)
    error = rmse(analysis.states[0], truth, gaps)
    assert error == pytest.approx(rmse(reference, truth, gaps), rel=0.05)
    assert error < NOISE
    assert 3 <= analysis.settings["eofs_0"] <= 4
    stated = (analysis.states[0] - truth) / analysis.spread[0]
    assert 0.75 < stated[gaps].std() < 1.25


def test_filtered_amplitudes_are_smooth_and_better_where_the_truth_is(rng):
    truth = fields(rng, rank=2)
    # A few points of each day.
    seen = rng.uniform(size=truth.shape) < 0.08
    observations = np.where(seen, truth + 0.5 * rng.normal(size=truth.shape), np.nan)
    plain, filtered = (
        Dineof(filter=days, eofs=3).analyse(problem(observations, 0.25)).states[0]
        for days in (0.0, 8.0)
    )
    bends = [np.abs(np.diff(states, 2, axis=0)).mean() for states in (plain, filtered)]
    assert bends[1] < 0.5 * bends[0]
    assert rmse(filtered, truth, ...) < rmse(plain, truth, ...)


def test_the_filter_cuts_off_at_its_period(rng):
    # Two standing waves of the same size; the one of a shorter period has the first EOF no more.
    times = np.arange(240) / 2
    patterns = linalg.qr(rng.normal(size=(SIDE**2, 2)), mode="economic")[0].T
    waves = np.cos(2 * np.pi * (times[:, None] + 0.25) / (60, 10))
    truth = ((waves * (1.0, 1.2)) @ patterns).reshape(-1, SIDE, SIDE)
    one = {"eofs": 1}
    for period, kept in ((0.0, 1), (20.0, 0)):
        analysis = Dineof(filter=period, **one).analyse(problem(truth, 1e-6, times=times))
        shares = analysis.states[0].reshape(len(times), -1) @ patterns.T
        assert shares[:, kept].std() > 20 * shares[:, 1 - kept].std()


def test_days_and_points_without_observations_are_told_of(rng, caplog):
    slope = rng.normal(size=(SIDE, SIDE))
    truth = np.linspace(-1, 1, 9)[:, None, None] * slope
    observations = truth.copy()
    observations[[0, 5]] = np.nan
    observations[:, 2, 3] = np.nan
    analysis = Dineof(tolerance=1e-8, iterations=1000).analyse(problem(observations, 1e-12))
    assert "2 of 9 days have no observation" in caplog.text
    assert "1 points off land have no observation" in caplog.text
    states, seen = analysis.states[0], np.isfinite(observations)
    elsewhere = np.ones((SIDE, SIDE), bool)
    elsewhere[2, 3] = False
    # Between two days in line with them, before the first as that.
    np.testing.assert_allclose(states[5][elsewhere], truth[5][elsewhere], atol=1e-5)
    np.testing.assert_allclose(states[0][elsewhere], truth[1][elsewhere], atol=1e-5)
    np.testing.assert_allclose(states[:, 2, 3], observations[seen].mean())
    np.testing.assert_allclose(analysis.spread[0, :, 2, 3], observations[seen].std())
    # What nothing was seen of, is as unsure as the EOFs vary.
    assert analysis.spread[0][5][elsewhere].mean() > 10 * analysis.spread[0][4][elsewhere].mean()


def test_members_and_land_do_not_matter_to_others(rng):
    truth = np.stack([fields(rng), fields(rng)])
    observations = np.stack([below_clouds(each, rng) for each in truth])
    land = np.zeros((SIDE, SIDE), bool)
    land[:4] = True
    both = Dineof().analyse(problem(observations, land=land))
    first = observations[:1].copy()
    first[..., land] = 1e6
    alone = Dineof().analyse(problem(first, land=land))
    np.testing.assert_array_equal(both.states[0], alone.states[0])
    assert np.isnan(alone.states[..., land]).all()
    assert set(both.settings) == {"eofs_0", "withheld_rmse_0", "eofs_1", "withheld_rmse_1"}
    other = Dineof(seed=1).analyse(problem(first, land=land))
    assert other.settings["withheld_rmse_0"] != alone.settings["withheld_rmse_0"]


def test_progress_ends_where_it_said(rng):
    told = []
    observations = np.stack([below_clouds(fields(rng), rng) for _ in range(2)])
    Dineof(eofs=5).analyse(problem(observations), lambda *done: told.append(done))
    assert told == sorted(told)
    assert told[-1] == (10, 10)


@pytest.mark.parametrize("where", [(slice(None), 0, 0), (slice(2, 4), 0, slice(None))])
def test_very_few_observations_are_enough_for_an_answer(rng, where):
    observations = np.full((6, SIDE, SIDE), np.nan)
    observations[where] = fields(rng, days=6)[where]
    analysis = Dineof().analyse(problem(observations))
    assert analysis.settings["eofs_0"] == 1
    assert (analysis.spread >= 0).all()


def test_what_cannot_be_filled_is_refused(rng):
    single = np.full((5, SIDE, SIDE), np.nan)
    single[2] = 1.0
    with pytest.raises(InputError, match=r"a single day in the member 0; EOFs need two"):
        Dineof().analyse(problem(single))
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match="expected a share between 0 and 1"):
            Dineof(withheld=share)
    with pytest.raises(InputError, match="expected an integer of 1 or more"):
        Dineof(eofs=0)
