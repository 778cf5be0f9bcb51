import numpy as np
import pytest
from scipy import stats

from tf4dvar.classical.fields.local_analysis import Observations
from tf4dvar.classical.fields.withheld import best_scale, cost, pasted, shares, withhold
from tf4dvar.errors import InputError

SHAPE = (6, 5, 8)


def below_clouds(rng):
    """More on some days than on others."""
    return rng.uniform(size=SHAPE) < np.linspace(0.4, 0.9, SHAPE[0])[:, None, None]


def observations(seen):
    points = np.flatnonzero(seen)
    return Observations(points, np.zeros(len(points)), np.ones(len(points)))


def test_what_is_covered_are_the_gaps_of_another_day(rng):
    seen = below_clouds(rng)
    covered = pasted(seen, 1.0, rng)
    assert covered.any()
    fewest = seen.sum(axis=(1, 2)).min()
    for day in range(len(seen)):
        kept = seen[day] & ~covered[day]
        others = [(kept == (seen[day] & other)).all() for other in seen]
        assert any(others)
        assert kept.sum() >= fewest


def test_no_more_days_are_covered_than_asked_for(rng):
    seen = below_clouds(rng)
    few, all_days = (pasted(seen, share, np.random.default_rng(0)) for share in (0.05, 1.0))
    assert 0.05 * seen.sum() <= few.sum() < all_days.sum()
    assert not (few & ~all_days).any()


def test_where_days_see_little_alike_one_of_them_is_hidden(rng):
    # Each day observes a row of its own, and all of them one point.
    seen = np.zeros((4, 5, 8), bool)
    seen[np.arange(4), np.arange(4)] = True
    seen[:, 4, 0] = True
    assert not pasted(seen, 1.0, rng).any()
    for each in withhold([observations(seen)], seen.shape):
        hidden = np.zeros(seen.shape, bool)
        hidden.flat[each.observations.points[each.hidden]] = True
        days = hidden.any(axis=(1, 2))
        assert days.sum() == 1
        assert hidden[days].sum() == 8


def test_days_that_see_the_same_have_no_gap_of_another(rng):
    same = np.broadcast_to(rng.uniform(size=SHAPE[1:]) < 0.5, SHAPE)
    assert not pasted(same.copy(), 1.0, rng).any()
    with pytest.raises(InputError, match="all observe the same points"):
        withhold([observations(same)], SHAPE)


def test_the_scale_is_that_of_the_errors(rng):
    stated, noise = rng.uniform(0.5, 2, 20_000), rng.uniform(0.1, 0.3, 20_000)
    errors = rng.normal(size=20_000) * np.sqrt(3 * stated + noise)
    of = np.stack([errors, stated, noise])
    assert best_scale(of) == pytest.approx(3, rel=0.05)
    normal = stats.norm.logpdf(errors, scale=np.sqrt(3 * stated + noise))
    assert cost(of, 3.0) == pytest.approx(-2 * normal.mean() - np.log(2 * np.pi))


def test_errors_count_as_often_as_there_are_gaps_like_them(rng):
    # Small ones are stated right, large ones are twice as large.
    stated = np.repeat([1.0, 4.0], 5000)
    errors = rng.normal(size=10_000) * np.sqrt(stated) * np.repeat([1, 2], 5000)
    of = np.stack([errors, stated, np.full(10_000, 1e-9)])
    for gap, scale in ((1.0, 1.0), (4.0, 4.0)):
        weights = shares(stated, np.full(7, gap))
        assert best_scale(of, shares=weights) == pytest.approx(scale, rel=0.1)
    mixed = shares(stated, np.array([1.0, 4.0, 4.0, 4.0]))
    assert mixed[stated == 4].sum() == pytest.approx(3 * mixed[stated == 1].sum())
    assert shares(stated, np.array([])) is None
