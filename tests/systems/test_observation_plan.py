import json

import numpy as np
import pytest

from tf4dvar.data import ObservationPlan, protocol_plan
from tf4dvar.errors import InputError


def observed_times(protocol):
    return np.flatnonzero(protocol_plan("l63", protocol).mask(200, 3)[:, 0]).tolist()


def test_protocols_are_those_of_the_paper():
    assert observed_times("T") == list(range(0, 193, 8))
    assert observed_times("C") == list(range(16, 185, 8))
    for protocol in "TC":
        assert not protocol_plan("l63", protocol).mask(200, 3)[:, 1:].any()


def test_noise_has_the_variance_of_the_plan_and_the_rest_is_nan(rng):
    plan = ObservationPlan(components=(1,), every=2, noise_variance=2.0)
    truth = rng.normal(size=(500, 100, 3))
    observations = plan.observe(truth, rng)
    mask = plan.mask(100, 3)
    assert np.isnan(observations[:, ~mask]).all()
    noise = (observations - truth)[:, mask]
    np.testing.assert_allclose(noise.mean(), 0, atol=0.05)
    np.testing.assert_allclose(noise.var(), 2.0, rtol=0.05)


def test_lorenz96_has_half_its_components_at_every_fourth_step(rng):
    masks = {}
    for protocol in "TC":
        observations = protocol_plan("l96", protocol).observe(np.zeros((30, 200, 40)), rng)
        masks[protocol] = ~np.isnan(observations)
        observed = masks[protocol].sum(-1)
        np.testing.assert_array_equal(observed[:, ::4], 20)
        assert observed.sum() == 30 * 50 * 20
    # T draws anew for every window and observed step; each component comes up as often.
    drawn = masks["T"][:, ::4]
    assert len(np.unique(drawn.reshape(-1, 40), axis=0)) == 30 * 50
    np.testing.assert_allclose(drawn.mean((0, 1)), 0.5, atol=0.06)
    # C draws once for all windows.
    shared = masks["C"]
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:1], shared.shape))
    assert len(np.unique(shared[0, ::4], axis=0)) == 50


def test_a_seed_draws_the_same_masks_bit_for_bit():
    truth = np.zeros((3, 20, 40))
    plan = protocol_plan("l96", "T")
    first, again = (plan.observe(truth, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_components_are_drawn_from_those_of_the_plan(rng):
    plan = ObservationPlan(components=(0, 2, 5), every=3, noise_variance=0.0, drawn=2, edge=1)
    observed = ~np.isnan(plan.observe(np.zeros((40, 10, 6)), rng))
    assert not observed[..., [1, 3, 4]].any()
    np.testing.assert_array_equal(
        observed.sum(-1), np.tile([0, 0, 0, 2, 0, 0, 2, 0, 0, 0], (40, 1))
    )


def test_the_default_protocol_of_each_system():
    assert protocol_plan("l63") == protocol_plan("l63", "C")
    assert protocol_plan("l96") == protocol_plan("l96", "T")


def test_all_components_may_be_drawn(rng):
    plan = ObservationPlan(components=(0, 1, 2), every=1, noise_variance=1.0, drawn=3)
    assert np.isfinite(plan.observe(np.zeros((2, 4, 3)), rng)).all()


@pytest.mark.parametrize("drawn", [0, 4])
def test_more_components_than_there_are_cannot_be_drawn(drawn):
    with pytest.raises(InputError, match=f"drawn={drawn}; expected 1 to 3"):
        ObservationPlan(components=(0, 1, 2), every=1, noise_variance=1.0, drawn=drawn)


def test_json_tells_the_whole_plan():
    plan = ObservationPlan(components=(0, 2), every=4, noise_variance=0.5, edge=3, drawn=1)
    fields = json.loads(plan.to_json())
    assert ObservationPlan(**{**fields, "components": tuple(fields["components"])}) == plan


@pytest.mark.parametrize("wrong", [{"every": 0}, {"edge": -1}, {"noise_variance": float("nan")}])
def test_a_plan_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InputError, match="expected every >= 1"):
        ObservationPlan(**{"components": (0,), "every": 8, "noise_variance": 2.0, **wrong})


def test_a_component_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="the state has 3"):
        ObservationPlan(components=(3,), every=1, noise_variance=1.0).mask(10, 3)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InputError, match="'X'"):
        protocol_plan("l63", "X")
