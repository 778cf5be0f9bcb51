"""A window's analysis by a classical method depends on that window, and on what it observed."""

from dataclasses import replace

import numpy as np
import pytest

from tf4dvar.classical import METHODS, EnKS, Gaussian, Problem
from tf4dvar.classical.strong_cost import StrongConstraint
from tf4dvar.classical.weak_cost import WeakConstraint, averaged_terms
from tf4dvar.data import protocol_plan, simulate_dataset
from tf4dvar.experiments import true_flow
from tf4dvar.systems import Lorenz63

QUICK = {
    "fsgd": {"steps": 20},
    "enks": {"members": 200},
    "oi": {"training_windows": 100},
    "weak-annealed": {"steps": 20},
    "strong-multistart": {"starts": 2},
    "importance-sampling": {"samples": 1},
}
# Their windows draw random numbers one after the other: elsewhere they have others.
RANDOM = {"enks", "strong-multistart"}
NANS = np.array([0x7FF8 << 48, 0xFFF8 << 48, (0x7FF8 << 48) + 0x123], np.uint64).view(np.float64)


@pytest.fixture(scope="module")
def problem():
    windows = simulate_dataset(Lorenz63(), protocol_plan("l63", "T"), 4, 25, seed=3)
    # Later observations of other components make the windows unlike each other.
    observations = windows["observations"].values
    observations[1, 5, 2] = windows["truth"][1, 5, 2]
    observations[2] = np.nan
    return Problem(observations, true_flow("l63", dtype="float64"), 2.0, system=Lorenz63())


def states_of(name, problem):
    return METHODS[name](**QUICK.get(name, {})).analyse(problem).states


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(set(METHODS) - RANDOM))
def test_a_window_is_the_same_elsewhere_and_alone(name, problem):
    states = states_of(name, problem)
    order = [3, 1, 0]
    elsewhere = states_of(name, replace(problem, observations=problem.observations[order]))
    np.testing.assert_allclose(elsewhere, states[order], rtol=1e-4, atol=1e-3)
    alone = states_of(name, replace(problem, observations=problem.observations[:1]))
    np.testing.assert_allclose(alone, states[:1], rtol=1e-4, atol=1e-3)


def test_an_ensemble_elsewhere_is_another_of_the_same_distribution(problem):
    problem = replace(problem, observations=np.repeat(problem.observations[:1], 6, axis=0))
    analysis = EnKS(members=400).analyse(problem)
    error = analysis.spread / np.sqrt(400)
    departures = (analysis.states - analysis.states.mean(axis=0)) / error
    # The smoother's sampling error is larger than that of a mean of independent members.
    assert np.sqrt(np.square(departures).mean()) < 4


@pytest.mark.long
@pytest.mark.parametrize("name", METHODS)
def test_every_nan_is_the_same_nan(name, problem, rng):
    missing = np.isnan(problem.observations)
    other = np.where(missing, rng.choice(NANS, missing.shape), problem.observations)
    poisoned = states_of(name, replace(problem, observations=other))
    np.testing.assert_array_equal(poisoned, states_of(name, problem))


@pytest.mark.parametrize("kind", ["weak", "strong"])
def test_values_that_are_not_observed_never_count(kind, problem, rng):
    """The costs keep values and precisions apart: where that is zero, any number may stand."""
    if kind == "weak":
        cost = WeakConstraint(problem, averaged_terms(problem, 0.01, 1.0))
        control = rng.normal(0, 8, problem.observations.shape)
    else:
        background = Gaussian(np.zeros(3), 64 * np.eye(3))
        cost = StrongConstraint(replace(problem, background=background))
        control = rng.normal(0, 8, (4, 3))
    windows = np.arange(4)
    costs, states = cost.evaluate(control, windows)
    gradient, _ = cost.quadratic(states, windows)
    hidden = cost.precision[..., range(3), range(3)] == 0
    cost.values = np.where(hidden, 1e6 * rng.normal(size=hidden.shape), cost.values)
    np.testing.assert_array_equal(cost.evaluate(control, windows)[0], costs)
    np.testing.assert_array_equal(cost.quadratic(states, windows)[0], gradient)
