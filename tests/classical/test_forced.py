"""Linear dynamics that are forced: what is forced is the forced solution and an unforced rest."""

import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.classical import (
    EnKS,
    Gaussian,
    Problem,
    Strong,
    StrongQuasistatic,
    WeakAnnealed,
    WeakGaussNewton,
    WeakLBFGS,
    one_step_model,
)
from tf4dvar.classical.descent import FixedStepDescent
from tf4dvar.errors import InputError
from tf4dvar.layers import RK4Flow, SystemODE
from tf4dvar.systems import System, covariates_of_steps

BACKGROUND = Gaussian(np.array([0.5, -0.5]), np.eye(2))


def swing(state, push, damping):
    position, speed = state[..., 0], state[..., 1]
    return [speed, push - position - damping * speed]


def swing_alone(state, damping):
    return swing(state, 0.0, damping)


def flow_of(tendency, covariates):
    system = System(
        tendency,
        components=("position", "speed"),
        time_step=0.2,
        initial=np.zeros((1, 2)),
        covariates=covariates,
        damping=0.1,
    )
    return system, RK4Flow(SystemODE(system, dtype="float64"), 0.2, dtype="float64")


@pytest.fixture(scope="module")
def forced():
    return flow_of(swing, ("push",))


@pytest.fixture(scope="module")
def problems(forced):
    """The same windows forced and unforced, and what the forcing alone does from rest."""
    rng = np.random.default_rng(5)
    system, flow = forced
    push = rng.normal(size=(3, 70, 1)).cumsum(axis=1)
    response = np.zeros((3, 70, 2))
    first, middle, last = covariates_of_steps(push)
    for step in range(69):
        response[:, step + 1] = system.step(
            response[:, step],
            covariates=(first[:, step], middle[:, step], last[:, step]),
        )
    rest = np.where(rng.random(response.shape) < 0.2, rng.normal(size=response.shape), np.nan)
    guess = rng.normal(size=response.shape)
    return (
        Problem(rest + response, flow, 0.3, BACKGROUND, covariates=push),
        Problem(rest, flow_of(swing_alone, ())[1], 0.3, BACKGROUND),
        response,
        guess,
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "tolerance"),
    [
        (Strong(), 1e-6),
        (StrongQuasistatic(), 1e-6),
        (EnKS(members=50), 1e-3),
        (EnKS(members=50, model_error_variance=0.1), 1e-3),
        (WeakGaussNewton(), 1e-6),
        (WeakGaussNewton(model_error_variance=0.1), 1e-6),
        (WeakAnnealed(), 1e-6),
        (WeakLBFGS(model_error_variance=0.1), 1e-3),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_method_finds_the_forced_solution_and_the_rest(method, tolerance, problems):
    forced, alone, response, guess = problems
    if method.takes_first_guess:
        forced, alone = forced.with_first_guess(guess + response), alone.with_first_guess(guess)
    analyses = [method.analyse(problem) for problem in (forced, alone)]
    np.testing.assert_allclose(
        analyses[0].states, response + analyses[1].states, atol=10 * tolerance, rtol=tolerance
    )
    np.testing.assert_allclose(analyses[0].costs, analyses[1].costs, rtol=max(tolerance, 1e-5))


@pytest.mark.long
def test_descent_reaches_the_minimum_of_gauss_newton(problems):
    forced = problems[0].part(slice(1))
    slow = FixedStepDescent(20_000).analyse(forced)
    fast = WeakGaussNewton().analyse(forced)
    np.testing.assert_allclose(slow.costs, fast.costs, rtol=0.05)


def test_tangent_linear_adjoint_and_trajectory_see_the_covariates(forced, rng):
    system, flow = forced
    model = one_step_model(flow, 2)
    ends = rng.normal(size=(4, 5, 2))
    states, v, w = (rng.normal(size=(4, 5, 2)) for _ in range(3))
    expected = system.step(
        states, covariates=(ends[..., :1], ends.mean(-1, keepdims=True), ends[..., 1:])
    )
    np.testing.assert_allclose(model.forecast(states, ends), expected, rtol=1e-12)
    forward, back = model.tangent(states, v, ends), model.adjoint(states, w, ends)
    np.testing.assert_allclose((forward * w).sum(), (v * back).sum(), rtol=1e-12)
    jacobians = model.jacobians(states, ends)
    np.testing.assert_allclose((jacobians @ v[..., None])[..., 0], forward, rtol=1e-12)
    steps = rng.normal(size=(3, 120, 2))
    trajectory = model.trajectory(states[:3, 0], 120, steps)
    np.testing.assert_allclose(
        trajectory[:, 1:], model.forecast(trajectory[:, :-1], steps[:, :-1]), rtol=1e-10
    )


def test_covariates_have_to_fit(forced, few):
    _, flow = forced
    observations = few[..., :2]
    right = np.zeros((*observations.shape[:2], 1))
    for covariates in (None, right[:, :-1], right.repeat(2, axis=-1), np.nan * right):
        with pytest.raises(InputError, match=r"Received covariates of shape .*expected finite"):
            Problem(observations, flow, 1.0, BACKGROUND, covariates=covariates)
    with pytest.raises(InputError, match="expected finite ones"):
        Problem(observations, None, 1.0, covariates=right)
    with pytest.raises(InputError, match="RK4Flow received 0 covariates"):
        flow.step_with_adjoint(tf.constant(observations))
