"""Other units of the data are other units of the states, and nothing else.

It holds for models whose prior works in normalised units, in which the data always are the same:
exactly for factors that are powers of two, since floating-point numbers then differ by their
exponents alone, and to rounding for others. It cannot hold for a prior in physical units: the
Lorenz equations are of those of their authors. There the units of the observations may change,
by the observation operator.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.conftest import compiled
from tests.properties.strategies import observed_windows, seeded
from tf4dvar.classical import Problem, optimal_interpolation
from tf4dvar.evaluation.metrics import fourdvar_score, ode_score, r_score
from tf4dvar.experiments import true_flow
from tf4dvar.layers import ConvCell, GradientSolver, LinearObservation, Normalisation
from tf4dvar.models import FourDVarNet, twin
from tf4dvar.systems import Lorenz63

POWERS = st.integers(-8, 8).map(lambda exponent: 2.0**exponent)
FACTORS = st.floats(1e-3, 1e3)


@pytest.fixture(scope="module")
def rescaled(genn):
    """The model, its graph, its twin in other units, and the twin's graph."""
    model, psi = genn
    other = twin(model)
    return model, psi, other, compiled(other)


def change_units(model, other, factor, offset=0.0):
    other.normalisation.mean.assign(model.normalisation.mean * factor + offset)
    other.normalisation.std.assign(model.normalisation.std * factor)


@given(windows=observed_windows(), factor=st.tuples(POWERS, POWERS, POWERS))
def test_states_are_scaled_exactly_by_powers_of_two(rescaled, windows, factor):
    model, psi, other, other_psi = rescaled
    factor = np.array(factor, "float32")
    change_units(model, other, factor)
    np.testing.assert_array_equal(other_psi(windows * factor), psi(windows) * factor)
    truth = np.nan_to_num(windows)
    np.testing.assert_array_equal(
        other.compute_loss(windows * factor, truth * factor, windows * factor),
        model.compute_loss(windows, truth, windows),
    )


@given(windows=observed_windows(), factor=FACTORS, offset=st.floats(-5, 5))
def test_states_follow_any_unit_and_origin(rescaled, windows, factor, offset):
    model, psi, other, other_psi = rescaled
    offset = factor * offset
    change_units(model, other, factor, offset)
    found = (other_psi(windows * np.float32(factor) + np.float32(offset)) - offset) / factor
    np.testing.assert_allclose(found, psi(windows), rtol=1e-3, atol=3e-3)


@given(windows=observed_windows(dtype="float64"), factor=FACTORS, offset=st.floats(-5, 5))
def test_adapting_follows_them_too(windows, factor, offset):
    if np.isnan(windows).all():
        windows[0, 0, 0] = 1.0
    ours, theirs = Normalisation(dtype="float64"), Normalisation(dtype="float64")
    ours.adapt(windows)
    theirs.adapt(factor * (windows + offset))
    observed = ~np.isnan(windows)
    # Never observed, its mean is 0 in any unit.
    mean = np.where(observed.any((0, 1)), factor * (ours.mean + offset), 0.0)
    np.testing.assert_allclose(theirs.mean, mean, rtol=1e-9, atol=1e-9 * factor)
    # Nothing varies where each component has one value: no unit is known.
    unit = factor if (observed.sum((0, 1)) > 1).any() else 1.0
    np.testing.assert_allclose(theirs.std, unit * ours.std.numpy(), rtol=1e-6)


@pytest.fixture(scope="module", params=[2.0**-7, 2.0**10])
def in_two_units(request):
    """A factor, and graphs of the true dynamics with observations in two units."""
    truth = np.random.default_rng(0).normal(0, 8, (20, 9, 3))
    graphs = []
    for unit in (1.0, request.param):
        model = FourDVarNet(
            true_flow("l63"),
            GradientSolver(ConvCell((2, 2)), iterations=2),
            observation=LinearObservation(unit * np.eye(3)),
            noise_variance=2.0 * unit**2,
        )
        model.adapt(unit * truth, truth)
        graphs.append(compiled(model))
    return request.param, *graphs


@pytest.mark.long
@given(windows=observed_windows())
def test_observations_of_true_dynamics_may_come_in_any_unit(in_two_units, windows):
    """By an observation operator: the states stay in the units of the dynamics."""
    factor, psi, other_psi = in_two_units
    np.testing.assert_array_equal(other_psi(windows * np.float32(factor)), psi(windows))


def forecast_in(factor):
    return lambda states: factor * Lorenz63().step(states / factor)


@given(windows=observed_windows(dtype="float64"), rng=seeded(), factor=FACTORS)
def test_scores_are_in_squared_units(windows, rng, factor):
    truth, states = rng.normal(0, 8, (2, *windows.shape))
    np.testing.assert_allclose(
        r_score(factor * states, factor * truth), factor**2 * r_score(states, truth)
    )
    np.testing.assert_allclose(
        ode_score(factor * truth, factor * states), factor**2 * ode_score(truth, states)
    )
    np.testing.assert_allclose(
        fourdvar_score(factor * states, factor * windows, forecast_in(factor)),
        factor**2 * fourdvar_score(states, windows, forecast_in(1.0)),
    )


@given(windows=observed_windows(dtype="float64"), rng=seeded(), factor=FACTORS)
def test_optimal_interpolation_scales_with_its_covariances(windows, rng, factor):
    training = rng.normal(0, 8, (30, *windows.shape[1:]))
    ours = optimal_interpolation(Problem(windows, None, 2.0), training)
    scaled = Problem(factor * windows, None, 2.0 * factor**2)
    theirs = optimal_interpolation(scaled, factor * training)
    np.testing.assert_allclose(theirs.states, factor * ours.states, rtol=1e-6, atol=1e-6 * factor)
    # The cost has no unit.
    np.testing.assert_allclose(theirs.costs, ours.costs, rtol=1e-6)
