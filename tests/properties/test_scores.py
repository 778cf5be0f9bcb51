"""What scores may depend on."""

import numpy as np
from hypothesis import given

from tests.properties.strategies import observed_windows, seeded
from tf4dvar.evaluation.metrics import fourdvar_score, r_score
from tf4dvar.models import RScore
from tf4dvar.systems import Lorenz63


def forecast(states):
    return Lorenz63().step(states)


@given(windows=observed_windows(dtype="float64"), rng=seeded())
def test_scores_go_with_their_windows(windows, rng):
    order = rng.permutation(len(windows))
    truth, states = rng.normal(0, 8, (2, *windows.shape))
    np.testing.assert_array_equal(
        r_score(states, truth)[order], r_score(states[order], truth[order])
    )
    np.testing.assert_allclose(
        fourdvar_score(states, windows, forecast)[order],
        fourdvar_score(states[order], windows[order], forecast),
    )


@given(windows=observed_windows(dtype="float64"), rng=seeded())
def test_truth_that_is_not_known_never_counts(windows, rng):
    windows[:, 0, 0] = 1.0  # every window knows something
    states = rng.normal(0, 8, windows.shape)
    scores = r_score(states, windows)
    for poison in (1e30, np.inf, np.nan):
        elsewhere = np.where(np.isnan(windows), poison, states)
        np.testing.assert_array_equal(r_score(elsewhere, windows), scores)
        metric = RScore(dtype="float64")
        metric.update_state(windows, elsewhere)
        known = (~np.isnan(windows)).sum((1, 2))
        np.testing.assert_allclose(metric.result(), (scores * known).sum() / known.sum())
