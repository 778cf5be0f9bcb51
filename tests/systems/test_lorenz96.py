import numpy as np

from tf4dvar.systems import Lorenz96, sample_windows, system_by_name


def test_it_rests_where_all_components_are_the_forcing():
    np.testing.assert_array_equal(Lorenz96().tendency(np.full((2, 40), 8.0)), 0.0)


def test_each_component_follows_the_equation(rng):
    state = rng.normal(size=40)
    i = np.arange(40)
    expected = (state[(i + 1) % 40] - state[i - 2]) * state[i - 1] - state + 8.0
    np.testing.assert_allclose(Lorenz96().tendency(state), expected, atol=1e-12)


def test_advection_keeps_the_energy(rng):
    # The products add nothing to the energy: only damping and forcing change it.
    state = rng.normal(size=(5, 40)) * 3
    power = (state * Lorenz96().tendency(state)).sum(-1)
    np.testing.assert_allclose(power, (state * (8.0 - state)).sum(-1), atol=1e-9)


def test_windows_have_the_climate_of_the_attractor():
    states = sample_windows(Lorenz96(), 100, 100, seed=4)
    # Published moments for F = 8: mean 2.34, deviation 3.64, the same for every component.
    np.testing.assert_allclose(states.mean(), 2.34, atol=0.03)
    np.testing.assert_allclose(states.std(), 3.64, atol=0.03)
    assert np.ptp(states.mean((0, 1))) < 0.8


def test_it_is_known_by_name_and_a_seed_gives_the_same_windows():
    first, again = (sample_windows(system_by_name("l96"), 3, 5, seed=8) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, 5, len(Lorenz96.components)) == (3, 5, 40)
