import numpy as np
import pytest

from tf4dvar.errors import InputError
from tf4dvar.systems.altimeters import NADIRS, Altimeter
from tf4dvar.systems.clouds import Clouds, CloudsOf
from tf4dvar.systems.instruments import PLANS, observed_by
from tf4dvar.systems.points import Points

POINTS, LENGTH = 64, 1e6


def test_errors_are_those_of_the_instruments_and_of_their_means():
    everywhere = [Altimeter(0.0, 0.0, noise, half_width=1e7, gap=-1.0) for noise in (0.1, 0.2)]
    truth = np.random.default_rng(0).normal(size=(3, 20, 16, 16))
    rng = np.random.default_rng(1)
    for chosen, variance in ((everywhere[:1], 0.01), (everywhere, 1 / (100 + 25))):
        observations, told = observed_by(chosen, truth, LENGTH, rng)
        np.testing.assert_allclose(told, variance)
        assert (observations - truth).var() == pytest.approx(variance, rel=0.05)


def test_members_and_seeds_differ():
    truth = np.zeros((2, 5, POINTS, POINTS))
    first, again, other = (
        observed_by(NADIRS, truth, LENGTH, np.random.default_rng(seed))[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1], equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)
    with pytest.raises(InputError, match="as many points in y as in x"):
        observed_by(NADIRS, np.zeros((1, 5, 4, 6)), LENGTH, np.random.default_rng(0))


def correlation(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


def test_clouds_cover_their_share_and_move_and_persist():
    clouds = Clouds(share=0.3, wind=(LENGTH / POINTS * 5 / 86_400, 0.0))
    seen = clouds.seen(200, POINTS, LENGTH, np.random.default_rng(0))
    assert 1 - seen.mean() == pytest.approx(0.3, abs=1e-3)
    # A point beside a cloud is likely one, as is that to which the wind carries it.
    beside = correlation(seen[..., 1:], seen[..., :-1])
    carried = correlation(seen[1:], np.roll(seen[:-1], 5, axis=-1))
    stayed = correlation(seen[1:], seen[:-1])
    assert beside > 0.7
    assert carried > 0.3
    assert stayed < carried - 0.02
    fickle = Clouds(share=0.3, persistence=0.0)
    seen = fickle.seen(200, POINTS, LENGTH, np.random.default_rng(0))
    assert abs(correlation(seen[1:], seen[:-1])) < 0.1
    for wrong in ({"share": 0.0}, {"persistence": 1.0}, {"size": 0.0}):
        with pytest.raises(InputError, match="expected a share between 0 and 1"):
            Clouds(**wrong)


def test_clouds_that_were_seen_are_taken_as_they_were():
    masks = np.zeros((3, 80, 90), bool)
    masks[:, :40] = True
    seen = CloudsOf(masks).seen(50, POINTS, LENGTH, np.random.default_rng(0))
    # Straight edges stay straight, in any of four directions.
    alike = [(seen == seen.take([0], axis)).all((1, 2)) for axis in (1, 2)]
    assert np.logical_or(*alike).all()
    assert 0.3 < seen.mean() < 0.7
    with pytest.raises(InputError, match="as large as the 100 x 100"):
        CloudsOf(masks).seen(5, 100, LENGTH, np.random.default_rng(0))


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_sees_a_part(plan):
    truth = np.random.default_rng(0).normal(size=(1, 20, POINTS, POINTS))
    observations, variance = observed_by(PLANS[plan], truth, LENGTH, np.random.default_rng(1))
    share = np.isfinite(observations).mean()
    assert 0.03 < share < 0.7
    np.testing.assert_array_equal(np.isfinite(observations), np.isfinite(variance))
    scaled = (observations - truth) / np.sqrt(variance)
    assert np.nanstd(scaled) == pytest.approx(1.0, rel=0.05)


def test_points_are_as_many_every_day_and_anywhere():
    seen = Points(share=0.1).seen(200, 16, LENGTH, np.random.default_rng(0))
    assert (seen.sum((1, 2)) == 26).all()
    # Of 200 days with a chance of a tenth none of the points is seen never, or on half of them.
    often = seen.mean(axis=0)
    assert 0 < often.min() < often.max() < 0.25
    assert abs(correlation(seen[1:], seen[:-1])) < 0.02
    assert Points(share=1.0).seen(2, 4, LENGTH, np.random.default_rng(0)).all()
    assert Points(share=1e-6).seen(5, 4, LENGTH, np.random.default_rng(0)).sum() == 5
    for share in (0.0, 1.1, np.nan):
        with pytest.raises(InputError, match="expected a share above 0, 1 at most"):
            Points(share)


def test_instruments_together_keep_their_own_noise():
    together = (*NADIRS[:1], Clouds(noise=0.3), Points(share=0.2, noise=0.1))
    truth = np.zeros((1, 100, 32, 32))
    observations, variance = observed_by(together, truth, LENGTH, np.random.default_rng(0))
    precisions = np.array([0.02, 0.3, 0.1]) ** -2
    sets = np.array([[i >> k & 1 for k in range(3)] for i in range(1, 8)])
    seen = np.isfinite(variance)
    assert seen.mean() < 1
    told = np.unique(variance[seen].round(10))
    np.testing.assert_allclose(told, np.sort(1 / (sets @ precisions)).round(10))
    for each in told:
        alike = observations[seen & np.isclose(variance, each, atol=1e-9)]
        assert np.sqrt(np.mean(alike**2) / each) == pytest.approx(1.0, abs=5 / len(alike) ** 0.5)
