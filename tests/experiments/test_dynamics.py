from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.data import default_protocol, protocol_plan, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.evaluation.comparison import problem_of
from tf4dvar.evaluation.scores import score
from tf4dvar.experiments import true_flow
from tf4dvar.layers import Lorenz63ODE, RK4Flow, SystemODE
from tf4dvar.layers.adjoint import with_adjoint
from tf4dvar.paper.tables import held_out_windows, rows_of
from tf4dvar.systems import SYSTEMS, System, sample_windows, system_by_name
from tf4dvar.systems.observation_plan import ObservationPlan


@pytest.fixture
def pendulum():
    """A system that is known by its name as long as the test lasts."""
    before = dict(SYSTEMS)

    class Pendulum(System):
        name = "pendulum"
        components = ("angle", "speed")
        time_step = 0.1
        test_windows = 5
        protocols: ClassVar = {"angle": ObservationPlan((0,), every=3, noise_variance=0.01)}

        def __init__(self):
            pass

        def rates(self, state):
            angle, speed = state[..., 0], state[..., 1]
            return [speed, -angle * (1 - angle**2 / 6)]

        def initial_states(self, count, rng):
            return rng.normal(size=(count, 2))

    yield Pendulum
    SYSTEMS.clear()
    SYSTEMS.update(before)


@pytest.mark.parametrize("name", ["l63", "l96"])
def test_a_flow_written_by_hand_is_the_one_derived_from_the_system(name, rng):
    system = system_by_name(name)
    states = sample_windows(system, 3, 20, seed=1)
    fast = true_flow(name, "float64")
    assert type(fast.ode) is not SystemODE
    derived = RK4Flow(SystemODE(name, dtype="float64"), system.time_step, dtype="float64")
    fast(states), derived(states)
    residual = tf.constant(rng.normal(size=states.shape))
    (flow, adjoint), (expected, back) = (
        with_adjoint(each, tf.constant(states)) for each in (fast, derived)
    )
    np.testing.assert_allclose(flow, expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(flow[:, 1:], system.step(states[:, :-1]), rtol=1e-13)
    np.testing.assert_allclose(adjoint(residual), back(residual), rtol=1e-10, atol=1e-12)


def test_a_new_system_is_simulated_assimilated_and_scored_by_its_name(pendulum):
    assert default_protocol("pendulum") == "angle"
    dataset = held_out_windows("pendulum", None)
    assert dataset.sizes == {"window": 5, "time": 200, "component": 2}
    problem = problem_of(dataset)
    truth = dataset["truth"].values
    np.testing.assert_allclose(problem.flow(truth)[:, 1:], truth[:, 1:], rtol=1e-12, atol=1e-12)
    assert not problem.flow.weights
    # Without observation errors the truth costs nothing.
    exact = dataset.assign(observations=dataset["truth"])
    assert score(truth, exact)["fourdvar_score"] < 1e-24
    with pytest.raises(InputError, match="no table of 'pendulum'; it has: l63, l96"):
        rows_of("pendulum")


def test_a_tendency_of_arrays_alone_has_no_flow(pendulum, monkeypatch):
    monkeypatch.setattr(pendulum, "rates", lambda self, state: -np.sin(state))
    simulate_dataset(pendulum(), protocol_plan("pendulum"), 2, 5)
    with pytest.raises(InputError, match=r"tendency of pendulum takes no tensors; .*library_of"):
        true_flow("pendulum")(np.ones((1, 3, 2)))


def test_a_system_without_a_protocol_or_with_a_known_name_is_refused(pendulum, monkeypatch):
    monkeypatch.setattr(pendulum, "protocols", {})
    with pytest.raises(InputError, match="pendulum has no observation plan"):
        protocol_plan("pendulum")
    with pytest.raises(ValueError, match="the name 'l63' twice"):

        class Impostor(pendulum):
            name = "l63"

    assert SYSTEMS["l63"].__name__ == "Lorenz63"
    with pytest.raises(InputError, match="known systems: ks, l63, l96, pendulum"):
        true_flow("rossler")


def test_a_flow_at_the_data_s_time_step_can_be_saved(pendulum):
    """`train --prior flow` gives it the step of the file."""
    for system, kind in (("l63", Lorenz63ODE), ("pendulum", SystemODE)):
        flow = true_flow(system_by_name(system).with_time_step(0.02))
        assert type(flow.ode) is kind
        assert RK4Flow.from_config(flow.get_config()).time_step == 0.02
