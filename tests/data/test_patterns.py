import re

import numpy as np
import pytest

from tf4dvar.data.patterns import Observed


def pattern_of(mask):
    """Of one component, [window, time]."""
    observed = Observed(1)
    observed.add(np.asarray(mask, bool)[:, :, None, None])
    return observed.patterns()[0]


def beyond(mask, pattern):
    observed = Observed(1)
    observed.add(np.asarray(mask, bool)[:, :, None, None])
    return observed.beyond(0, pattern)


def every(spacing, first=0, windows=20, steps=48):
    return np.tile((np.arange(steps) % spacing == first % spacing), (windows, 1))


def test_a_pattern_is_counted_by_hand():
    mask = np.zeros((1, 10))
    mask[0, [2, 3, 7]] = 1
    pattern = pattern_of(mask)
    assert (pattern.windows, pattern.values) == (1, 3)
    assert pattern.share.mean == 0.3
    assert pattern.gap.most == 3
    # Of the ten times: 2 1 0 0 1 2 1 0 1 2.
    assert pattern.distance.mean == 1.0
    assert pattern.farthest.most == 2


def test_nothing_observed_has_a_share_alone():
    pattern = pattern_of(np.zeros((3, 5)))
    assert pattern.share.most == 0
    assert (pattern.gap, pattern.distance, pattern.farthest) == (None, None, None)


def test_places_have_gaps_of_their_own():
    """Two places in turn: each is observed every second time."""
    mask = np.stack([every(2), every(2, 1)], axis=-1)[..., None]
    observed = Observed(1)
    observed.add(mask)
    (pattern,) = observed.patterns()
    assert pattern.share.mean == 0.5
    assert pattern.gap.most == 1


@pytest.mark.parametrize("chunk", [1, 3, 20])
def test_chunks_do_not_show(rng, chunk):
    mask = rng.random((20, 30, 4, 2)) < 0.2
    whole, parts = Observed(2), Observed(2)
    whole.add(mask)
    for start in range(0, 20, chunk):
        parts.add(mask[start : start + chunk])
    assert parts.patterns() == whole.patterns()


def test_a_rule_is_found_and_random_times_have_none(rng):
    assert pattern_of(every(8, 3)).spacing == 8
    assert pattern_of(every(8, 3)).phases == (3,)
    drawn = every(6) & (rng.random((20, 48)) < 0.6)
    assert (pattern_of(drawn).spacing, pattern_of(drawn).phases) == (6, (0,))
    assert pattern_of(rng.random((20, 48)) < 0.3).spacing == 1
    # Two pairs with a common divisor are no rule.
    mask = np.zeros((1, 48))
    mask[0, [3, 9, 17]] = 1
    assert pattern_of(mask).spacing == 1


def test_phases_are_told_where_the_windows_are_enough(rng):
    drawn = np.concatenate([every(6, first, windows=1) for first in rng.integers(0, 3, 100)])
    assert pattern_of(drawn).phases == (0, 1, 2)
    assert pattern_of(drawn[:2]).phases == ()


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (every(8, 3), r"observed 3 steps after a multiple of 8, in training 0$"),
        (every(4), r"observed 4 steps after a multiple of 8"),
        (every(16), r"15 steps between two observations, in training 7 \(20 of 20 windows\)"),
        (every(8) & (np.arange(48) < 20), r"a share of 0.0625 is observed, in training 0.125"),
        (every(8) & False, r"a share of 0 is observed"),
        (every(8) & (np.arange(48) > 20), r"24 steps to the nearest observation, in training 7"),
        (np.ones((1, 48)), r"1, 2, 3, 4, 5, 6, 7 steps after .* a share of 1 is observed"),
    ],
)
def test_what_goes_beyond_is_said_with_its_numbers(mask, said):
    known = pattern_of(every(8))
    assert not beyond(every(8), known)
    assert not beyond(every(8, windows=1), known)
    assert re.search(said, "; ".join(beyond(mask, known)))


def test_half_as_many_random_observations_are_noticed(rng):
    known = pattern_of(rng.random((200, 60)) < 0.3)
    assert not beyond(rng.random((40, 60)) < 0.3, known)
    assert "share" in beyond(rng.random((40, 60)) < 0.12, known)[0]


def test_one_of_many_drawn_patterns_is_none_beyond_them(rng):
    known = pattern_of(rng.random((500, 60)) < rng.uniform(0.01, 0.3, (500, 1)))
    assert not beyond(rng.random((100, 60)) < 0.29, known)
    assert not beyond(rng.random((100, 60)) < 0.02, known)
    assert "share" in beyond(rng.random((100, 60)) < 0.98, known)[0]


def persistent(rng, windows, share):
    """Clouds: what is seen is likely seen at the next time, too."""
    values = rng.normal(size=(windows, 60))
    for time in range(1, 60):
        values[:, time] = 0.9 * values[:, time - 1] + np.sqrt(0.19) * values[:, time]
    return values < np.quantile(values, share)


DRAWN = {
    "independent": lambda rng, windows, share: rng.random((windows, 60)) < share,
    "clouds": persistent,
    "any phase": lambda rng, windows, share: np.concatenate(
        [every(6, first, 1, 60) for first in rng.integers(0, 6, windows)]
    ),
    "shares that vary": lambda rng, windows, share: (
        rng.random((windows, 60)) < rng.beta(1, 1 / share - 1, (windows, 1))
    ),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_windows_of_the_same_kind_are_never_warned_of(kind):
    """Two hundred draws of one, 20 and 200 windows after trainings of any size."""
    rng = np.random.default_rng(1)
    for draw in range(200):
        share = (0.03, 0.3)[draw % 2]
        trained = (1, 3, 10, 100, 500)[draw // 2 % 5]
        windows = (1, 20, 200)[draw // 10 % 3]
        known = pattern_of(DRAWN[kind](rng, trained, share))
        assert beyond(DRAWN[kind](rng, windows, share), known) == [], draw
