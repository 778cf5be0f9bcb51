"""Patterns and noise that are drawn for every window."""

import json
from itertools import pairwise

import numpy as np
import pytest

from tf4dvar.data import ObservationPlan, plan_of, protocol_plan, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63, random_stream
from tf4dvar.systems.drawn_plan import DrawnPlan

PLAN = DrawnPlan(
    subsets=((0,), (0, 2)), every=(3, 5), noise_variance=(0.5, 8.0), edge=(2, 6), missing=0.3
)


def drawn(plan, windows=400, steps=60):
    inputs = plan.inputs(np.zeros((windows, steps, 3)), random_stream("drawn plan", 0))
    return np.isfinite(inputs["observations"]), inputs


def test_times_are_as_far_apart_as_told_and_not_at_the_edges():
    observed, _ = drawn(PLAN)
    times = observed.any(axis=2)
    assert not times[:, :2].any()
    assert not times[:, -2:].any()
    spacings, wholes = set(), 0
    for window in times:
        between = {b - a for a, b in pairwise(np.flatnonzero(window))}
        least = min(between)
        assert all(each % least == 0 for each in between)
        spacings.add(least)
        wholes += len(between) == 1
    assert spacings >= {3, 4, 5}
    # Half of them miss nothing, of the others some by chance.
    assert 0.5 < wholes / len(times) < 0.8
    first = times.argmax(axis=1)
    assert set(first) >= set(range(2, 7))


def test_a_window_observes_one_of_the_subsets_throughout():
    observed, _ = drawn(PLAN)
    found = {tuple(np.flatnonzero(window.any(axis=0))) for window in observed}
    assert found == {(0,), (0, 2)}
    for window in observed:
        assert len(np.unique(window[window.any(axis=1)], axis=0)) == 1


def test_the_noise_is_the_one_that_is_told():
    observed, inputs = drawn(PLAN)
    variance = inputs["noise_variance"]
    assert 0.5 <= variance.min() < 0.6
    assert 7 < variance.max() <= 8
    assert (variance == variance[:, :1, :1]).all()
    assert np.median(variance) == pytest.approx(2, rel=0.2)  # its logarithm is uniform
    scaled = (inputs["observations"] / np.sqrt(variance))[observed]
    assert scaled.std() == pytest.approx(1, abs=0.02)


def test_irregular_times_and_shares_of_components():
    observed, _ = drawn(DrawnPlan(((0,),), (4, 4), (1.0, 1.0), irregular=0.5))
    counts = observed[..., 0].sum(axis=1)
    assert (counts == 15).all()  # as many as there would be
    regular = [len(set(np.diff(np.flatnonzero(window[:, 0])))) == 1 for window in observed]
    assert 0.4 < np.mean(regular) < 0.6
    observed, _ = drawn(DrawnPlan(((0, 1, 2),), (1, 1), (1.0, 1.0), share=(0.2, 0.6)))
    shares = observed.mean(axis=(1, 2))
    assert shares.mean() == pytest.approx(0.4, abs=0.03)
    assert 0.1 < shares.min() < 0.25
    assert 0.5 < shares.max() < 0.7


def test_a_data_set_tells_the_noise_of_every_window():
    data = simulate_dataset(Lorenz63(), protocol_plan("l63", "any"), 6, steps=40, seed=3)
    assert "noise_variance" not in data.attrs
    assert data["noise_variance"].dims == data["observations"].dims
    assert json.loads(data.attrs["plan"])["every"] == [4, 16]
    again = simulate_dataset(Lorenz63(), protocol_plan("l63", "any"), 6, steps=40, seed=3)
    assert data.identical(again)
    other = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 6, steps=40, seed=3)
    np.testing.assert_array_equal(data["truth"], other["truth"])


def test_windows_count_by_their_noise_and_by_what_can_be_told(rng):
    plan = DrawnPlan(
        subsets=((0,), (1,), (0, 1)),
        every=(3, 5),
        noise_variance=(0.5, 8.0),
        hard=(((1,), 70.0),),
    )
    inputs = plan.inputs(np.zeros((300, 30, 2)), rng)
    alone = np.isnan(inputs["observations"][..., 0]).all(axis=1)
    assert 60 < alone.sum() < 140
    weights = plan.weights(inputs) * inputs["noise_variance"][:, 0, 0]
    np.testing.assert_allclose(weights, np.where(alone, 1 / 70, 1.0))
    assert ObservationPlan((0,), 2, 1.0).weights(inputs["observations"]) is None


def test_windows_of_which_more_is_observed_may_count_as_many_times(rng):
    plan = DrawnPlan(
        subsets=((0, 1),), every=(1, 5), noise_variance=(0.5, 4.0), share=(0.2, 1.0), by_number=True
    )
    inputs = plan.inputs(np.zeros((50, 40, 2)), rng)
    number = (~np.isnan(inputs["observations"])).sum(axis=(1, 2))
    information = plan.weights(inputs) * inputs["noise_variance"][:, 0, 0] / number
    np.testing.assert_allclose(information, information[0])
    assert number.max() > 4 * number.min() > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": (0, 4)},
        {"edge": (4, 2)},
        {"noise_variance": (0.0, 1.0)},
        {"share": (0.5, 1.5)},
        {"subsets": ()},
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong):
    given = {"subsets": ((0,),), "every": (2, 4), "noise_variance": (1.0, 2.0)} | wrong
    with pytest.raises(InputError, match="expected pairs"):
        DrawnPlan(**given)


def test_what_it_draws_cannot_be_given():
    with pytest.raises(InputError, match="every with a protocol that draws"):
        plan_of(Lorenz63(), "any", every=4)
    with pytest.raises(InputError, match="counted from 0"):
        DrawnPlan(((3,),), (2, 4), (1.0, 2.0)).inputs(np.zeros((1, 9, 3)), random_stream("a", 0))
