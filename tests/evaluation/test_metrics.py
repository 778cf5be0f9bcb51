import numpy as np
import pytest

from tf4dvar.evaluation.metrics import (
    fourdvar_score,
    ode_score,
    r_score,
)
from tf4dvar.models import RScore
from tf4dvar.systems import Lorenz63


def forecast(state):
    return Lorenz63().step(state)


@pytest.fixture
def case(windows, rng):
    truth = windows["truth"].values[:6]
    return truth + rng.normal(size=truth.shape), truth, windows["observations"].values[:6]


def test_exact_small_cases():
    state = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    truth = np.array([[[0.0, 2.0], [3.0, np.nan]]])
    np.testing.assert_allclose(r_score(state, truth), [1 / 3])
    observations = np.array([[[2.0, np.nan], [np.nan, 7.0]]])
    # Misfits 1 and 3; a forecast of zero leaves the second time's state as its residual.
    expected = 0.01 * (1 + 9) / 2 + (9 + 16) / 4
    np.testing.assert_allclose(fourdvar_score(state, observations, np.zeros_like), [expected])
    np.testing.assert_allclose(ode_score(state, np.zeros_like(state)), [(9 + 16) / 2])


def test_a_state_that_is_no_number_has_no_score():
    truth = np.zeros((2, 2, 2))
    truth[:, 0, 0] = np.nan
    state = np.ones_like(truth)
    state[0, 0, 0] = np.nan  # where the truth is not known either
    state[1, 1, 1] = np.nan
    np.testing.assert_array_equal(r_score(state, truth), [1.0, np.nan])


def test_the_truth_scores_nothing_but_its_noise(case):
    _, truth, observations = case
    np.testing.assert_array_equal(r_score(truth, truth), 0)
    misfit = 0.01 * np.nanmean((truth - observations) ** 2, axis=(1, 2))
    np.testing.assert_allclose(fourdvar_score(truth, observations, forecast), misfit)


def test_scores_are_one_number_a_window(case):
    state, truth, observations = case
    for scores in (
        r_score(state, truth),
        fourdvar_score(state, observations, forecast),
        ode_score(truth, state),
    ):
        assert scores.shape == (6,)


def test_a_window_without_observations_has_the_prior_term_alone(case):
    state, _, observations = case
    nothing = np.full_like(observations, np.nan)
    score = fourdvar_score(state, nothing, forecast)
    np.testing.assert_allclose(
        score, np.square(state[:, 1:] - forecast(state[:, :-1])).sum((1, 2)) / 600
    )


def test_the_keras_metric_has_the_name_and_the_precision_that_were_asked():
    assert RScore().name == "r_score"
    asked = RScore("other", dtype="float64")
    assert (asked.name, asked.dtype) == ("other", "float64")


def test_the_keras_metric_is_the_mean_of_the_function_over_batches(case):
    state, truth, _ = case
    expected = r_score(state, truth).mean()
    metric = RScore(dtype="float64")
    for half in (slice(3), slice(3, 6)):
        metric.update_state(truth[half], state[half])
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)
    twin = RScore.from_config(metric.get_config())
    twin.update_state(truth, state)
    np.testing.assert_allclose(twin.result(), expected, rtol=1e-4)


def test_truth_that_is_not_known_does_not_count(case):
    state, truth, _ = case
    gaps = np.where(np.arange(200)[:, None] < 150, truth, np.nan)
    metric = RScore(dtype="float64")
    metric.update_state(gaps, state)
    np.testing.assert_allclose(metric.result(), np.mean((state - truth)[:, :150] ** 2), rtol=1e-6)
