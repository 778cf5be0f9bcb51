import numpy as np
import pytest

from tests.layers.layer_check import check_layer
from tf4dvar.layers import Lorenz96ODE, RK4Flow
from tf4dvar.systems import Lorenz96, sample_windows


@pytest.fixture(scope="module")
def states():
    return sample_windows(Lorenz96(), 4, 6, seed=2)


def test_at_its_true_coefficients_it_is_the_right_hand_side(states):
    ode = Lorenz96ODE(dtype="float64")
    np.testing.assert_allclose(ode(states), Lorenz96().tendency(states), rtol=0, atol=1e-12)
    single = Lorenz96ODE()(states.astype("float32"))
    scale = np.abs(Lorenz96().tendency(states)).max()
    np.testing.assert_allclose(single / scale, Lorenz96().tendency(states) / scale, atol=1e-6)


def test_its_flow_is_the_systems_step(states):
    flow = RK4Flow(Lorenz96ODE(dtype="float64"), Lorenz96.time_step, dtype="float64")
    np.testing.assert_allclose(flow(states), states, atol=1e-10)
    perturbed = states + 0.3
    np.testing.assert_allclose(
        flow(perturbed)[:, 1:], Lorenz96().step(perturbed[:, :-1]), atol=1e-10
    )


def test_it_has_nine_coefficients_and_each_is_where_its_name_says(states):
    ode = Lorenz96ODE(dtype="float64")
    ode.build((None, None, 40))
    assert ode.count_params() == 9
    left = np.roll(states, -1, -1) - np.roll(states, 2, -1)
    right = np.roll(states, 1, -1)
    effects = [np.roll(states, -offset, -1) * right for offset in (-2, -1, 0, 1)]
    effects += [np.roll(states, -offset, -1) * left for offset in (-1, 0, 1)]
    effects += [states, np.ones_like(states)]
    for i, effect in enumerate(effects):
        changed = np.array(Lorenz96ODE.TRUTH)
        changed[i] += 0.5
        difference = Lorenz96ODE(changed, dtype="float64")(states) - ode(states)
        np.testing.assert_allclose(difference, 0.5 * effect, atol=1e-10)


def test_frozen_coefficients_are_not_trained():
    ode = Lorenz96ODE(trainable=False)
    ode.build((None, None, 40))
    assert not ode.trainable_variables


def test_layer(states, tmp_path):
    check_layer(Lorenz96ODE(), states.astype("float32"), tmp_path=tmp_path)


def test_wrong_numbers_are_refused(states):
    with pytest.raises(ValueError, match="Received 3 coefficients; expected 9"):
        Lorenz96ODE((1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="four components or more"):
        Lorenz96ODE()(states[..., :3])
