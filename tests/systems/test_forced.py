import numpy as np
import pytest
import sympy

from tf4dvar.data import ObservationPlan, covariates_of, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.systems import System, covariates_of_steps, sample_windows
from tf4dvar.systems.symbolic import Equations

DRAG = 0.5


def drift(state, wind, drag):
    return [drag * (wind - state[..., 0])]


def make(time_step, tendency=drift, covariates=None, **settings):
    return System(
        tendency,
        components=("speed",),
        time_step=time_step,
        initial=np.zeros((1, 1)),
        covariates={"wind": lambda time: 5.0 + np.sin(time)} if covariates is None else covariates,
        drag=DRAG,
        **settings,
    )


def exact(times):
    """From rest at the time 0."""

    def particular(time):
        return 5.0 + DRAG * (DRAG * np.sin(time) - np.cos(time)) / (DRAG**2 + 1)

    return particular(times) - particular(0.0) * np.exp(-DRAG * times)


def test_a_forced_system_converges_to_its_solution_with_order_four():
    errors = []
    for number in (4, 8, 16):
        speeds = sample_windows(make(1 / number), 1, 5 * number)[0, :, 0]
        errors.append(np.abs(speeds - exact(np.arange(5 * number) / number)).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - 4) < 0.2), orders
    adaptive = sample_windows(make(0.1), 1, 40, integrator="rk45")[0, :, 0]
    np.testing.assert_allclose(adaptive, exact(np.arange(40) / 10), atol=1e-4)


def test_the_spin_up_ends_at_the_time_zero():
    late = make(0.1, spin_up=400)
    # What was at its beginning is forgotten: exp(-20).
    np.testing.assert_allclose(
        sample_windows(late, 1, 30)[0, :, 0] - exact(np.arange(30) / 10),
        (exact(1e3 * 2 * np.pi) - 0.0) * np.exp(-DRAG * np.arange(30) / 10),
        atol=1e-6,
    )


def test_steps_between_the_times_of_a_data_set_are_linear_in_the_covariates(rng):
    system = make(0.1)
    wind = rng.normal(size=(3, 8, 1))
    states = rng.normal(size=(3, 7, 1))
    steps = system.step(states, covariates=covariates_of_steps(wind))
    for step in range(7):
        before, after = wind[0, step : step + 2, 0]
        ramp = System(
            drift,
            components=1,
            time_step=0.1,
            initial=states[:1, step],
            covariates={"wind": lambda t, a=before, b=after: a + (b - a) * t / 0.1},
            drag=DRAG,
        )
        np.testing.assert_allclose(sample_windows(ramp, 1, 2)[0, 1], steps[0, step], rtol=1e-12)


def test_equations_take_the_time_as_a_covariate():
    v, t, drag = sympy.symbols("v t drag")
    equations = Equations({v: drag * (5 + sympy.sin(t) - v)})
    windows = [
        sample_windows(system, 1, 30)
        for system in (make(0.1), make(0.1, equations, {"t": lambda time: time}))
    ]
    np.testing.assert_allclose(*windows, rtol=1e-12)


def test_a_data_set_tells_the_covariates_and_gives_them_by_name():
    plan = ObservationPlan((0,), every=2, noise_variance=0.1)
    dataset = simulate_dataset(make(0.1), plan, 1, 9)
    assert dataset["covariates"].dims == ("window", "time", "covariate")
    np.testing.assert_allclose(dataset["covariates"][0, :, 0], 5 + np.sin(0.1 * np.arange(9)))
    two = dataset["covariates"].values * [[[1.0, 2.0]]]
    both = dataset.drop_dims("covariate").assign(
        covariates=(("time", "window", "covariate"), two.swapaxes(0, 1))
    )
    both = both.assign_coords(covariate=["wind", "rain"])
    np.testing.assert_array_equal(covariates_of(both, ["rain", "wind"]), two[..., ::-1])
    with pytest.raises(InputError, match="the dynamics need snow, too"):
        covariates_of(both, ["wind", "snow"])
    with pytest.raises(InputError, match="depend on wind, known in time: expected a variable"):
        covariates_of(dataset.drop_vars("covariates"), ["wind"])
    both["covariates"][2, 0, 0] = np.nan
    with pytest.raises(InputError, match="1 of them NaN"):
        covariates_of(both, ["wind", "rain"])
    assert covariates_of(dataset, ()) is None


def test_what_is_not_known_in_time_is_not_simulated():
    named = make(0.1, covariates=("wind",))
    assert not named.can_be_simulated
    with pytest.raises(InputError, match="drift has the covariates wind, which it does not know"):
        sample_windows(named, 1, 5)
    with pytest.raises(InputError, match="drift received 0 covariates; expected 1, wind"):
        named.step(np.zeros((1, 1)))
    with pytest.raises(InputError, match="missing a required argument: 'wind'"):
        make(0.1, covariates=())


def test_another_time_step_is_another_system_of_the_same_spin_up():
    system = make(0.1, spin_up=30)
    other = system.with_time_step(0.04)
    assert (other.time_step, other.spin_up, system.time_step) == (0.04, 75, 0.1)
    assert system.with_time_step(0.1) is system
    with pytest.raises(InputError, match="time_step=0"):
        system.with_time_step(0.0)
