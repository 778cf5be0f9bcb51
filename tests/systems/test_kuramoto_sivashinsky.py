import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import solve_ivp

from tf4dvar.experiments import true_flow
from tf4dvar.layers import SystemFlow
from tf4dvar.systems import KuramotoSivashinsky, sample_windows

SYSTEM = KuramotoSivashinsky()


@pytest.fixture(scope="module")
def state():
    return sample_windows(SYSTEM, 1, 2, seed=3)[:, 0]


def after(state, time_step=0.5, duration=2.0):
    for _ in range(round(duration / time_step)):
        state = SYSTEM.step(state, time_step)
    return state


def test_the_tendency_is_the_equation():
    """Of one wave, by hand: u = a sin(kx) has the wave 2k in u du/dx."""
    wave = 2 * np.pi * 5 / SYSTEM.length
    x = np.arange(128) * SYSTEM.length / 128
    state = 0.7 * np.sin(wave * x)
    expected = (wave**2 - wave**4) * state - 0.7**2 * wave * np.sin(2 * wave * x) / 2
    np.testing.assert_allclose(SYSTEM.tendency(state), expected, atol=1e-12)


def test_a_step_is_that_of_another_integrator_and_of_high_order(state):
    """Of the fourth, but for the stiffest waves, which lower it a little."""
    fine = solve_ivp(
        lambda _, u: SYSTEM.tendency(u), (0, 2.0), state[0], method="LSODA", rtol=1e-9, atol=1e-9
    ).y[:, -1]
    errors = [np.abs(after(state, step) - fine).max() for step in (2**-4, 2**-5)]
    assert errors[1] < errors[0] / 9
    np.testing.assert_allclose(after(state, 2**-6)[0], fine, atol=1e-6)


def test_what_is_the_same_everywhere_stays(state):
    np.testing.assert_allclose(after(state + 0.3).mean(), state.mean() + 0.3, atol=1e-12)


def test_places_are_alike(state):
    np.testing.assert_allclose(
        SYSTEM.step(np.roll(state, 7, axis=1)), np.roll(SYSTEM.step(state), 7, axis=1), atol=1e-12
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_its_flow_takes_the_same_step(state, dtype):
    flow = true_flow("ks", dtype)
    assert isinstance(flow, SystemFlow)
    following = flow.step(tf.constant(state[:, None], dtype))
    accuracy = {"float32": 1e-5, "float64": 1e-13}[dtype]
    np.testing.assert_allclose(following[:, 0], SYSTEM.step(state), atol=accuracy)
