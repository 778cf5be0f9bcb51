import numpy as np
import pytest
import sympy
import tensorflow as tf

from tf4dvar.data import ObservationPlan, read_windows, simulate_dataset, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63, System, sample_windows, trajectories
from tf4dvar.systems.symbolic import Equations

VALUES = {"growth": 1.0, "predation": 0.5, "decline": 0.8}
SETTINGS = {
    "components": ("prey", "predator"),
    "time_step": 0.05,
    "initial": lambda count, rng: rng.uniform(1.0, 3.0, (count, 2)),
}


def predator_prey(state, growth, predation, decline):
    prey, predator = state[..., 0], state[..., 1]
    return [
        growth * prey - predation * prey * predator,
        predation * prey * predator - decline * predator,
    ]


def test_it_keeps_what_its_equations_keep():
    system = System(predator_prey, **SETTINGS, **VALUES)
    prey, predator = np.moveaxis(sample_windows(system, 5, 400, seed=1), -1, 0)
    constant = 0.5 * (prey + predator) - 0.8 * np.log(prey) - np.log(predator)
    assert np.ptp(prey, axis=1).min() > 0.1
    np.testing.assert_allclose(constant, constant[:, :1] + np.zeros(400), atol=1e-5)


def test_a_function_and_equations_of_lorenz63_are_lorenz63(rng):
    def lorenz63(state, sigma, rho, beta):
        x, y, z = np.moveaxis(state, -1, 0)
        return np.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z], axis=-1)

    x, y, z, sigma, rho, beta = sympy.symbols("x y z sigma rho beta")
    equations = Equations({x: sigma * (y - x), y: x * (rho - z) - y, z: x * y - beta * z})
    state = rng.normal(size=(4, 3)) * 10
    for tendency, components in ((lorenz63, 3), (equations, None)):
        system = System(
            tendency,
            components=components,
            time_step=0.01,
            initial=state,
            sigma=10.0,
            rho=28.0,
            beta=8 / 3,
        )
        np.testing.assert_allclose(system.tendency(state), Lorenz63().tendency(state), rtol=1e-12)
        np.testing.assert_allclose(
            trajectories(system, state, 20), trajectories(Lorenz63(), state, 20), rtol=1e-9
        )


def test_a_function_may_give_tensors_for_arrays(rng):
    def rates(state):
        return [tf.sin(state[..., 1]), -state[..., 0]]

    system = System(rates, components=("a", "b"), time_step=0.1, initial=None)
    state = rng.normal(size=(4, 2))
    slopes = system.tendency(state)
    assert isinstance(slopes, np.ndarray)
    np.testing.assert_allclose(slopes, np.stack([np.sin(state[:, 1]), -state[:, 0]], axis=-1))


def test_a_data_set_says_names_and_units(tmp_path):
    system = System(
        predator_prey, **SETTINGS, **VALUES, units="1000 animals", time_units="year", name="hares"
    )
    plan = ObservationPlan(components=(0,), every=4, noise_variance=0.01)
    dataset = simulate_dataset(system, plan, 3, steps=20)
    assert dataset["truth"].attrs["units"] == "1000 animals"
    assert dataset["time"].attrs["units"] == "year"
    assert dataset.attrs["system"] == "hares"
    assert dataset["component"].values.tolist() == ["prey", "predator"]
    np.testing.assert_allclose(dataset["time"], 0.05 * np.arange(20))

    mixed = System(predator_prey, **SETTINGS, **VALUES, units=("hares", "lynxes"))
    write_dataset(simulate_dataset(mixed, plan, 3, steps=20), tmp_path / "windows.nc")
    read = read_windows(tmp_path / "windows.nc")
    assert read["units"].values.tolist() == ["hares", "lynxes"]
    assert read["units"].dims == ("component",)


def test_given_initial_states_are_used_once_each():
    given = np.arange(8.0).reshape(4, 2) + 1.0
    system = System(predator_prey, **{**SETTINGS, "initial": given}, **VALUES)
    first = sample_windows(system, 4, 3, seed=2)[:, 0]
    np.testing.assert_array_equal(first[np.argsort(first[:, 0])], given)
    assert not np.array_equal(first, sample_windows(system, 4, 3, seed=3)[:, 0])
    with pytest.raises(InputError, match="4 initial states, too few for 5 windows"):
        sample_windows(system, 5, 3)


def test_it_spins_up_when_asked():
    at_once, later = (
        System(predator_prey, **{**SETTINGS, "initial": [[1.0, 2.0]]}, **VALUES, spin_up=spin_up)
        for spin_up in (0, 7)
    )
    np.testing.assert_array_equal(
        sample_windows(later, 1, 2)[:, 0], sample_windows(at_once, 1, 8)[:, 7]
    )


@pytest.mark.parametrize("integrator", ["rk4", "rk45"])
def test_a_step_that_is_too_large_is_named(integrator):
    def stiff(state):
        return -50.0 * state**3

    system = System(
        stiff,
        components=1,
        time_step=0.5,
        initial=lambda count, rng: rng.normal(size=(count, 1)) + 5,
    )
    if integrator == "rk45":  # its own steps are small enough
        assert np.isfinite(sample_windows(system, 2, 5, integrator=integrator)).all()
        return
    with pytest.raises(InputError, match=r"2 of 2 trajectories of stiff .* Try time_step=0\.125"):
        sample_windows(system, 2, 50)


def test_mistakes_are_named():
    with pytest.raises(InputError, match="missing a required argument: 'growth'"):
        System(predator_prey, **SETTINGS)
    with pytest.raises(InputError, match="expected one for all"):
        System(predator_prey, **SETTINGS, **VALUES, units=("m",))
    with pytest.raises(InputError, match="time_step=0"):
        System(predator_prey, **{**SETTINGS, "time_step": 0}, **VALUES)
    swapped = System(
        predator_prey, **{**SETTINGS, "initial": lambda count, rng: np.ones((2, count))}, **VALUES
    )
    with pytest.raises(InputError, match=r"shape \(2, 5\); expected \(5, 2\)"):
        sample_windows(swapped, 5, 3)
    wrong = System(lambda state: state[..., 0], components=2, time_step=0.1, initial=np.ones(2))
    with pytest.raises(InputError, match="a list with the tendency of each component"):
        sample_windows(wrong, 1, 3)
