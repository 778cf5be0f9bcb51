import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tf4dvar.errors import InputError
from tf4dvar.systems import (
    Lorenz63,
    random_stream,
    sample_windows,
    system_by_name,
    trajectories,
    trajectories_rk45,
)


def exact(system, state, duration):
    return solve_ivp(
        lambda _, x: system.tendency(x), (0, duration), state, rtol=1e-12, atol=1e-12
    ).y[:, -1]


def test_lorenz63_rests_at_its_three_fixed_points():
    system = Lorenz63()
    side = np.sqrt(system.beta * (system.rho - 1))
    points = [[0, 0, 0], [side, side, system.rho - 1], [-side, -side, system.rho - 1]]
    np.testing.assert_allclose(system.tendency(np.array(points, float)), 0, atol=1e-12)


def test_lorenz63_contracts_volumes_at_a_constant_rate(rng):
    # The divergence of the right-hand side is -(sigma + 1 + beta) everywhere.
    system, step = Lorenz63(), 1e-6
    for state in rng.normal(size=(5, 3)) * 10:
        divergence = sum(
            (system.tendency(state + e) - system.tendency(state - e))[i] / (2 * step)
            for i, e in enumerate(step * np.eye(3))
        )
        np.testing.assert_allclose(divergence, -(10 + 1 + 8 / 3), rtol=1e-6)


def test_rk4_converges_with_order_four():
    system, state, duration = Lorenz63(), np.array([1.0, 2.0, 20.0]), 0.08
    errors = []
    for steps in (4, 8, 16):
        x = state
        for _ in range(steps):
            x = system.step(x, duration / steps)
        errors.append(np.abs(x - exact(system, state, duration)).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all((orders > 3.7) & (orders < 4.4)), orders


def test_rk45_and_rk4_agree_over_a_short_time():
    initial = np.array([[1.0, 2.0, 20.0], [-5.0, -4.0, 25.0]])
    np.testing.assert_allclose(
        trajectories(Lorenz63(), initial, 30),
        trajectories_rk45(Lorenz63(), initial, 30),
        atol=1e-3,
    )


def test_windows_have_the_climate_of_the_attractor():
    states = sample_windows(Lorenz63(), 3000, 200, seed=4)
    # Published moments: z has the mean 23.55; x and y are symmetric about 0.
    np.testing.assert_allclose(states.mean((0, 1)), [0, 0, 23.55], atol=0.25)
    np.testing.assert_allclose(states.std((0, 1)), [7.93, 9.01, 8.62], atol=0.15)


def test_a_seed_gives_the_same_windows_bit_for_bit():
    first, again = (sample_windows(Lorenz63(), 3, 20, seed=8) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, sample_windows(Lorenz63(), 3, 20, seed=9))


def test_streams_of_two_purposes_and_of_a_trailing_zero_differ():
    draws = [
        random_stream(*key).normal()
        for key in (("a", 7), ("a", 7, 0), ("a", 7, 1), ("b", 7), ("a", 8))
    ]
    # NumPy pads seeds with zeros: ("a", 7) and ("a", 7, 0) are one stream, and so only one of
    # the two forms may be used for one purpose.
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4


@pytest.mark.parametrize(("count", "steps"), [(0, 10), (3, 1)])
def test_sizes_that_make_no_window_are_refused(count, steps):
    with pytest.raises(InputError, match="at least 1 window"):
        sample_windows(Lorenz63(), count, steps)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(InputError, match="l63"):
        system_by_name("lorenz")
    with pytest.raises(InputError, match="rk45"):
        sample_windows(Lorenz63(), 1, 10, integrator="euler")
