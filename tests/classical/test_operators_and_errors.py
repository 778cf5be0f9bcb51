"""H and R in every method: what is the same problem has the same analysis, and it is exact."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.classical.dense import (
    averaged_minimum,
    evidence_volume,
    strong_posterior,
    weak_minimum,
)
from tests.finite_differences import directional_derivative
from tf4dvar.classical import (
    METHODS,
    EnKS,
    FixedStepDescent,
    Gaussian,
    ImportanceSampling,
    Problem,
    Strong,
    StrongMultistart,
    StrongQuasistatic,
    WeakAnnealed,
    WeakGaussNewton,
    WeakLBFGS,
    first_guess,
    one_step_model,
)
from tf4dvar.classical.strong_cost import StrongConstraint
from tf4dvar.classical.weak_cost import WeakConstraint, covariance_terms
from tf4dvar.errors import InputError
from tf4dvar.layers import LinearObservation, RK4Flow
from tf4dvar.systems import System

ROTATION = np.array([[0.0, 1.0, -0.3], [-1.0, 0.0, 0.5], [0.3, -0.5, 0.0]])
MIXING = np.array([[1.0, -0.5, 0.0], [0.2, 0.3, 2.0]])
BACKGROUND = Gaussian(np.array([1.0, -1.0, 0.5]), np.array([[2, 0.3, 0], [0.3, 1, 0], [0, 0, 3.0]]))
STEPS = 12


class RotationODE(keras.layers.Layer):
    """Linear, and of a length that stays."""

    def call(self, state):
        return tf.matmul(state, tf.constant(ROTATION.T))


@pytest.fixture(scope="module")
def flow():
    return RK4Flow(RotationODE(dtype="float64"), 0.1, dtype="float64")


@pytest.fixture(scope="module")
def system():
    return System(
        lambda state: state @ ROTATION.T,
        name="rotation",
        time_step=0.1,
        components=3,
        initial=lambda count, rng: 2.0 * rng.normal(size=(count, 3)),
    )


@pytest.fixture
def problem(flow, system, rng):
    """The states of three windows observed, each entry with an error of its own."""
    truth = one_step_model(flow, 3).trajectory(2.0 * rng.normal(size=(3, 3)), STEPS)
    variance = rng.uniform(0.2, 2.0, truth.shape)
    noisy = truth + np.sqrt(variance) * rng.normal(size=truth.shape)
    observations = np.where(rng.random(truth.shape) < 0.4, noisy, np.nan)
    return Problem(observations, flow, variance, BACKGROUND, system=system)


@pytest.fixture
def mixed(problem, rng):
    """The same states seen through a matrix."""
    observations = rng.normal(size=(3, STEPS, 2)) + 1.0
    observations[rng.random(observations.shape) < 0.4] = np.nan
    variance = rng.uniform(0.2, 2.0, observations.shape)
    return replace(
        problem,
        observations=observations,
        noise_variance=variance,
        observation_operator=MIXING,
    )


QUICK = {
    "fsgd": FixedStepDescent(steps=300),
    "enks": EnKS(members=50, square_root=True),
    "oi": METHODS["oi"](training_windows=200),
    "strong-multistart": StrongMultistart(starts=2),
    "weak-lbfgs": WeakLBFGS(model_error_variance=0.1),
    "importance-sampling": ImportanceSampling(samples=1),
}


def quick(name):
    return QUICK.get(name) or METHODS[name]()


def assert_same(ours, theirs, **tolerances):
    tolerances = {"rtol": 2e-4, "atol": 2e-4} | tolerances
    np.testing.assert_allclose(ours.states, theirs.states, **tolerances)
    if ours.spread is not None:
        np.testing.assert_allclose(ours.spread, theirs.spread, **tolerances)


@pytest.mark.parametrize("name", METHODS)
def test_the_unit_matrix_observes_the_state(name, problem):
    unit = replace(problem, observation_operator=np.eye(3))
    assert_same(quick(name).analyse(unit), quick(name).analyse(problem))


@pytest.mark.parametrize("name", METHODS)
def test_rows_of_the_unit_matrix_are_components_without_the_others(name, problem):
    rows = [2, 0]
    masked = problem.observations.copy()
    masked[..., 1] = np.nan
    picked = replace(
        problem,
        observations=problem.observations[..., rows],
        noise_variance=problem.noise_variance[..., rows],
        observation_operator=np.eye(3)[rows],
    )
    assert_same(
        quick(name).analyse(picked), quick(name).analyse(replace(problem, observations=masked))
    )


@pytest.mark.long
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["layer", "function"])
def test_a_layer_or_a_function_is_the_matrix_that_it_multiplies_by(name, kind, mixed):
    operator = {
        "layer": LinearObservation(MIXING, dtype="float64"),
        "function": lambda state: tf.matmul(state, tf.constant(MIXING.T)),
    }[kind]
    # The first guess of a function is taken at the background's mean, that of a matrix at zero.
    mixed = replace(mixed, background=Gaussian(np.zeros(3), BACKGROUND.covariance))
    ours, theirs = (
        quick(name).analyse(replace(mixed, observation_operator=each))
        for each in (operator, MIXING)
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", METHODS)
def test_a_huge_variance_is_no_observation(name, problem, rng):
    hidden = rng.random(problem.observations.shape) < 0.3
    without = replace(problem, observations=np.where(hidden, np.nan, problem.observations))
    # On the line between its neighbours a vague observation leaves the first guess as it is.
    vague = replace(
        problem,
        observations=np.where(hidden, first_guess(without), problem.observations),
        noise_variance=np.where(hidden, 1e16, problem.noise_variance),
    )
    assert_same(quick(name).analyse(vague), quick(name).analyse(without))


@pytest.mark.parametrize("name", METHODS)
def test_one_variance_is_the_same_of_every_entry(name, mixed):
    each = replace(mixed, noise_variance=np.full(mixed.observations.shape, 0.7))
    one = replace(mixed, noise_variance=0.7)
    assert_same(quick(name).analyse(one), quick(name).analyse(each))


def test_variances_are_broadcast_to_the_observations(mixed):
    for shape in ((2,), (STEPS, 1), (3, 1, 1), (1, 1, 2)):
        variance = np.random.default_rng(1).uniform(1, 2, shape)
        whole = np.broadcast_to(variance, mixed.observations.shape)
        ours, theirs = (replace(mixed, noise_variance=each) for each in (variance, whole))
        np.testing.assert_array_equal(ours.precision(), theirs.precision())
        np.testing.assert_array_equal(ours.part(slice(1, 3)).precision(), theirs.precision()[1:])


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize(
    "method",
    [Strong(), StrongMultistart(starts=2), StrongQuasistatic(), EnKS(20_000, inflation=1.0)],
    ids=lambda method: method.name,
)
def test_perfect_dynamics_give_the_exact_posterior(method, scale, mixed, flow):
    variance = mixed.noise_variance.copy()
    variance[:, ::2] *= scale
    mixed = replace(mixed, noise_variance=variance)
    step = one_step_model(flow, 3).jacobians(np.zeros(3))
    analysis = method.analyse(mixed)
    sampled = method.name == "enks"
    for window in range(3):
        mean, variances, cost = strong_posterior(mixed, window, step)
        np.testing.assert_allclose(analysis.states[window], mean, atol=0.05 if sampled else 1e-6)
        np.testing.assert_allclose(analysis.costs[window], cost, rtol=0.03 if sampled else 1e-8)
        if sampled:
            np.testing.assert_allclose(analysis.spread[window] ** 2, variances, rtol=0.08)


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize(
    "method",
    [
        WeakGaussNewton(model_error_variance=0.02),
        WeakLBFGS(model_error_variance=0.02),
        WeakAnnealed(0.02, 0.02),
    ],
    ids=lambda method: method.name,
)
def test_dynamics_that_err_give_the_exact_posterior_mean(method, scale, mixed, flow):
    variance = mixed.noise_variance.copy()
    variance[..., 1] *= scale
    mixed = replace(mixed, noise_variance=variance)
    step = one_step_model(flow, 3).jacobians(np.zeros(3))
    states = method.analyse(mixed).states
    for window in range(3):
        expected = weak_minimum(mixed, window, step, 1 / 0.02)
        np.testing.assert_allclose(
            states[window], expected, atol=1e-2 if "lbfgs" in method.name else 1e-6
        )


@pytest.mark.long
@pytest.mark.parametrize(
    "method",
    [WeakGaussNewton(), WeakLBFGS(), FixedStepDescent(20_000)],
    ids=lambda method: method.name,
)
def test_averaged_terms_have_their_exact_minimum(method, mixed, flow):
    step = one_step_model(flow, 3).jacobians(np.zeros(3))
    analysis = method.analyse(mixed)
    for window in range(3):
        expected = averaged_minimum(mixed, window, step)
        np.testing.assert_allclose(analysis.states[window], expected, atol=1e-2)


def test_importance_sampling_has_the_exact_posterior_of_a_linear_system(mixed, flow, monkeypatch):
    # Many short trajectories: those of a rotation forget nothing of where they began.
    for name, size in {"TRAJECTORIES": 40_000, "BLOCK_STEPS": 5, "SPIN_UP_STEPS": 1}.items():
        monkeypatch.setattr(f"tf4dvar.classical.importance_sampling.{name}", size)
    step = one_step_model(flow, 3).jacobians(np.zeros(3))
    analysis = ImportanceSampling(samples=200_000).analyse(mixed)
    free = replace(mixed, background=Gaussian(np.zeros(3), 4.0 * np.eye(3)))
    for window in range(3):
        mean, variances, cost = strong_posterior(free, window, step)
        np.testing.assert_allclose(analysis.states[window], mean, atol=0.15)
        np.testing.assert_allclose(analysis.spread[window] ** 2, variances, rtol=0.3)
        volume = evidence_volume(free, window, step)
        np.testing.assert_allclose(analysis.costs[window], cost + volume, atol=0.3)


def test_covariances_between_what_is_observed_are_the_variances_of_another_basis(mixed, rng):
    """S y = S H x + S e has the covariance S R S^T."""
    full = ~np.isnan(mixed.observations).any(axis=-1, keepdims=True)
    mixed = replace(mixed, observations=np.where(full, mixed.observations, np.nan))
    mix = np.array([[1.0, 0.5], [-0.3, 2.0]])
    covariance = np.einsum("ij,wtj,kj->wtik", mix, mixed.noise_variance, mix)
    other = replace(
        mixed,
        observations=mixed.observations @ mix.T,
        observation_operator=mix @ MIXING,
        noise_variance=covariance,
    )
    for name in ("strong", "weak-gauss-newton", "oi", "importance-sampling"):
        method = WeakGaussNewton(model_error_variance=0.1) if "weak" in name else quick(name)
        assert_same(method.analyse(other), method.analyse(mixed), atol=1e-3)
    ensemble = EnKS(members=20_000, inflation=1.0)
    assert_same(ensemble.analyse(other), ensemble.analyse(mixed), atol=0.05)
    with pytest.raises(InputError, match="variances alone"):
        FixedStepDescent(2).analyse(other)


def curved(state):
    """Neither linear nor of as many values as the state."""
    return tf.concat([tf.square(state[..., :1]) + state[..., 1:2], tf.sin(state[..., 2:])], axis=-1)


@pytest.mark.parametrize("kind", ["weak", "strong"])
def test_gradients_go_through_a_curved_operator(kind, mixed, rng):
    problem = replace(mixed, observation_operator=curved)
    if kind == "weak":
        cost = WeakConstraint(problem, covariance_terms(problem, 0.5))
        control = rng.normal(size=problem.shape)
    else:
        cost, control = StrongConstraint(problem), rng.normal(size=(3, 3))
    windows = np.arange(3)
    _, states = cost.evaluate(control, windows)
    gradient, _ = cost.quadratic(states, windows)
    direction = rng.normal(size=control.shape)
    expected = directional_derivative(
        lambda x: cost.evaluate(x, windows)[0], control, direction, step=1e-6
    )
    found = 2 * (gradient * direction).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_a_curved_operator(name, problem, flow, rng):
    truth = one_step_model(flow, 3).trajectory(0.5 * rng.normal(size=(3, 3)), STEPS)
    seen = curved(truth).numpy() + 0.01 * rng.normal(size=(3, STEPS, 2))
    problem = replace(problem, observations=seen, noise_variance=1e-2, observation_operator=curved)
    method = METHODS["enks"](200) if name == "enks" else quick(name)
    states = method.analyse(problem).states
    assert np.isfinite(states).all()
    if name in ("strong", "strong-quasistatic", "strong-multistart", "weak-annealed"):
        np.testing.assert_allclose(curved(states), curved(truth), atol=0.1)


def test_localisation_is_where_the_rows_of_a_matrix_are(problem):
    local = EnKS(members=50, square_root=True, localisation=2.0)
    unit = replace(problem, observation_operator=np.eye(3))
    assert_same(local.analyse(unit), local.analyse(problem))
    with pytest.raises(InputError, match=r"Localisation .* as a matrix"):
        local.analyse(replace(problem, observation_operator=lambda state: state))


def test_mistaken_operators_are_refused(problem):
    for wrong, message in (
        (np.ones((2, 3)), r"shape \(2, 3\) for observations of 3 values"),
        (np.ones(3), r"shape \(3,\)"),
        (np.zeros((3, 3)), "zero or not finite"),
        (np.ones((3, 4)), "background of 3 components; expected 4"),
    ):
        with pytest.raises(InputError, match=message):
            replace(problem, observation_operator=wrong)
    for wrong, message in (
        (lambda state: state[..., :2], "gives 2 values at a time for observations of 3"),
        (LinearObservation(np.eye(3)), "dtype='float64'"),
        (lambda state: np.square(state), "with TensorFlow"),
    ):
        with pytest.raises(InputError, match=message):
            Strong().analyse(replace(problem, observation_operator=wrong))
    with pytest.raises(InputError, match="number of components"):
        replace(problem, observation_operator=curved, background=None, system=None)
