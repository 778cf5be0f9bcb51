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


def test_json_tells_the_whole_plan():
    plan = ObservationPlan(components=(0, 2), every=4, noise_variance=0.5, edge=3)
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
