import numpy as np
import pytest

from tf4dvar.evaluation.time_means import time_mean

NUMBER = 2000


def autoregressive(rng, correlation):
    values = rng.normal(size=NUMBER)
    for time in range(1, NUMBER):
        values[time] += correlation * values[time - 1]
    return values


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_error_is_that_of_many_means(rng, correlation):
    """Of noise and of an autoregressive series the variance of the mean is known."""
    found = [time_mean(autoregressive(rng, correlation)) for _ in range(60)]
    expected = 1 / (1 - correlation) / np.sqrt(NUMBER)
    assert np.mean([each.error for each in found]) == pytest.approx(expected, rel=0.1)
    scaled = np.array([each.mean / each.error for each in found])
    assert 0.75 < np.sqrt(np.square(scaled).mean()) < 1.3


def test_what_is_the_same_all_the_time_has_no_error():
    assert time_mean(np.full(9, 0.3)) == pytest.approx((0.3, 0.0))
