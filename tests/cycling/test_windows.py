"""Windows one after the other, beside Kalman's filter of linear dynamics."""

from dataclasses import replace

import numpy as np
import pytest

from tests.classical.cycled.test_filters import STEPS, kalman, problem, run, system
from tf4dvar.classical import METHODS, Gaussian, OptimalInterpolation, Problem, Strong
from tf4dvar.classical.cycled import EnKF
from tf4dvar.cycling import WindowFilter
from tf4dvar.errors import InputError
from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.systems import Lorenz63, trajectories

__all__ = ["problem", "system"]

EXACT = {"background_inflation": 1.0}


@pytest.mark.parametrize(("window", "advance"), [(1, 1), (4, 1), (6, 3), (5, 5), (40, 7)])
@pytest.mark.parametrize("mode", ["filter", "smoother"])
def test_of_linear_dynamics_the_last_time_of_a_window_is_kalmans(problem, window, advance, mode):
    method = WindowFilter(method=Strong(), window=window, advance=advance, mode=mode, **EXACT)
    mean, spread, misfit = run(method, problem)
    assert mean.shape == (2, STEPS, 2)
    number = -(-max(0, STEPS - 1 - window) // advance) + 1
    lasts = [min(place * advance + window, STEPS - 1) for place in range(number)]
    lasts = lasts[-1:] if mode == "smoother" else lasts
    assert lasts[-1] == STEPS - 1
    for series, (expected, covariance) in enumerate(kalman(problem)):
        np.testing.assert_allclose(mean[series, lasts], expected[lasts], atol=1e-4)
        deviation = np.sqrt(np.einsum("tii->ti", covariance))
        np.testing.assert_allclose(spread[series, lasts], deviation[lasts], atol=1e-4)
    np.testing.assert_array_equal(np.isnan(misfit), ~problem.observed.any(axis=2))


@pytest.mark.parametrize(("window", "advance"), [(4, 1), (6, 3), (22, 1)])
def test_a_smoother_of_linear_dynamics_is_the_analysis_of_what_was_seen(problem, window, advance):
    """Nothing is lost from window to window."""
    method = WindowFilter(method=Strong(), window=window, advance=advance, **EXACT)
    mean, _, _ = run(method, problem)
    for start in range(0, STEPS - window, advance):
        seen = problem.observations.copy()
        seen[:, start + window + 1 :] = np.nan
        expected = Strong().analyse(replace(problem, observations=seen)).states
        stop = start + advance if start + window < STEPS - 1 else STEPS
        np.testing.assert_allclose(mean[:, start:stop], expected[:, start:stop], atol=1e-4)


def test_of_nonlinear_dynamics_it_is_better_than_an_ensemble(rng):
    truth = trajectories(Lorenz63(), rng.normal(size=(1, 3)) + 20.0, 2501)[:, 1000:]
    observations = np.full(truth.shape, np.nan)
    observations[:, 25::25] = truth[:, 25::25] + np.sqrt(2.0) * rng.normal(size=(1, 60, 3))
    background = Gaussian(truth[0, 0] + rng.normal(size=3), 1.0)
    given = Problem(observations, None, 2.0, background, system=Lorenz63())
    of_ensemble, _, _ = run(EnKF(members=10), given)
    method = WindowFilter(method=Strong(), window=50, advance=25, mode="filter")
    mean, spread, misfit = run(method, replace(given, flow=true_flow("l63", "float64")))
    errors = [np.sqrt(np.square(each - truth).mean()) for each in (mean, of_ensemble)]
    assert errors[0] < 0.7 * errors[1]
    assert 0.5 < errors[0] / np.sqrt(np.square(spread).mean()) < 2.0
    assert 0.5 < np.nanmean(misfit) < 2.0


def pieces_of(method, problem, length):
    position, parts, number = None, [], 0
    while (span := method.span(number, length, STEPS)) is not None:
        ends = span[1] == STEPS
        found = list(method.run(problem.between(*span), position, span[0], ends=ends))
        position = found[-1][0]
        parts += [estimate for _, estimate in found]
        number += 1
    return number, [np.stack(each, axis=1) for each in zip(*parts, strict=True)]


@pytest.mark.parametrize("mode", ["filter", "smoother"])
@pytest.mark.parametrize(("window", "advance"), [(4, 2), (6, 3), (5, 5), (40, 7)])
@pytest.mark.parametrize("length", [1, 6, 100])
def test_pieces_are_the_whole(problem, window, advance, mode, length):
    method = WindowFilter(method=Strong(), window=window, advance=advance, mode=mode)
    number, found = pieces_of(method, problem, length)
    assert (number > 1) == (max(length, advance) < STEPS - window)
    for of, whole in zip(found, run(method, problem), strict=True):
        np.testing.assert_array_equal(of, whole)


@pytest.mark.parametrize("name", [name for name, of in METHODS.items() if of.takes_background])
def test_every_method_with_a_background_takes_part(problem, name):
    """What was seen once is in the background alone: without, states would be others."""
    given = replace(problem, observations=problem.observations[:, :13])
    settings = {"members": 50} if name == "enks" else {}
    method = WindowFilter(method=METHODS[name](**settings), window=6, advance=4)
    mean, _, misfit = run(method, given)
    assert np.isfinite(mean).all()
    other = given.observations.copy()
    other[:, 1] += 1.0
    moved, _, _ = run(method, replace(given, observations=other))
    assert np.abs(moved[:, 8:] - mean[:, 8:]).max() > 1e-3
    assert np.isfinite(misfit[given.observed.any(axis=2)]).all()


def test_errors_of_observations_go_with_their_times(problem, rng):
    variance = rng.uniform(0.1, 1.0, problem.observations.shape)
    method = WindowFilter(method=Strong(), window=4, advance=2, mode="filter", **EXACT)
    of_each, _, _ = run(method, replace(problem, noise_variance=variance))
    full = variance[..., None] * np.eye(2)
    as_matrices, _, _ = run(method, replace(problem, noise_variance=full))
    np.testing.assert_allclose(as_matrices, of_each, atol=1e-9)
    assert np.abs(of_each - run(method, problem)[0]).max() > 0.01


def test_a_series_of_one_time(problem):
    given = replace(problem, observations=problem.observations[:, 1:2])
    mean, _, _ = run(WindowFilter(method=Strong()), given)
    np.testing.assert_allclose(mean, Strong().analyse(given).states, atol=1e-6)


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="window=5 and advance=6"):
        WindowFilter(method=Strong(), window=5, advance=6)
    with pytest.raises(InputError, match=r"oi takes no background; those that do: .*strong"):
        WindowFilter(method=OptimalInterpolation())
