"""A window's states depend on that window alone, and on its observed values alone."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.conftest import graph
from tests.properties.strategies import observed_windows, seeded
from tf4dvar.data import read_windows, simulate_dataset, write_dataset
from tf4dvar.evaluation import reconstruction
from tf4dvar.layers import LinearInterpolation
from tf4dvar.systems import Lorenz63
from tf4dvar.systems.observation_plan import ObservationPlan

# Sums in float32 over other shapes are taken in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-3}
# Quiet NaNs with a sign or a payload, as other programs write them for missing values.
NANS = np.array([0x7FC00000, 0xFFC00000, 0x7FC12345, 0xFFFFFFFF], np.uint32).view(np.float32)


def of_the_model(model, windows):
    return windows[..., : model.observed_components]


@pytest.mark.long
@given(windows=observed_windows(), rng=seeded())
def test_permuting_windows_permutes_states(any_model, windows, rng):
    model, psi = any_model
    windows = of_the_model(model, windows)
    order = rng.permutation(len(windows))
    states = psi(windows).numpy()
    assert np.isfinite(states).all()
    np.testing.assert_allclose(psi(windows[order]).numpy(), states[order], **CLOSE)


@given(windows=observed_windows(), rng=seeded())
def test_a_window_is_the_same_alone_and_beside_anything(any_model, windows, rng):
    model, psi = any_model
    windows = of_the_model(model, windows)
    alone = psi(windows[:1]).numpy()[0]
    np.testing.assert_allclose(psi(windows).numpy()[0], alone, **CLOSE)
    others = 1e4 * rng.normal(size=windows.shape).astype("float32")
    beside = np.concatenate([windows[:1], others])
    np.testing.assert_allclose(psi(beside).numpy()[0], alone, **CLOSE)


@given(windows=observed_windows(), rng=seeded())
def test_every_nan_is_the_same_nan(any_model, windows, rng):
    model, psi = any_model
    windows = of_the_model(model, windows)
    other = np.where(np.isnan(windows), rng.choice(NANS, windows.shape), windows)
    np.testing.assert_array_equal(psi(other), psi(windows))


@pytest.fixture(scope="module")
def weighted(any_model):
    """A model and its graph with the variances of the noise."""
    model, _ = any_model
    names = ("observations", "noise_variance")
    psi = graph(
        lambda *pair: model.call(dict(zip(names, pair, strict=True))), model.observed_components, 2
    )
    return model, psi


@pytest.mark.long
@given(windows=observed_windows(), rng=seeded(), poison=st.sampled_from([1e6, np.nan, -1.0, 0.0]))
def test_the_variance_of_what_is_not_observed_never_counts(weighted, windows, rng, poison):
    model, psi = weighted
    windows = of_the_model(model, windows)
    variance = rng.uniform(0.1, 3, windows.shape).astype("float32")
    poisoned = np.where(np.isnan(windows), np.float32(poison), variance)
    np.testing.assert_array_equal(psi(windows, poisoned), psi(windows, variance))


@pytest.fixture(scope="module")
def masked(genn):
    """What the layers that get values and mask apart make of a state, values and a mask."""
    model, _ = genn
    interpolation, gradient = LinearInterpolation(), model.cost_gradient

    def results(state, values, mask):
        states, costs = model.solver.iterates(state, values, mask, gradient)
        return {
            "first guess": interpolation(values, mask),
            "cost": gradient.cost(state, values, mask),
            "gradient": gradient(state, values, mask)[0],
            "states": states,
            "costs": costs,
        }

    return graph(results, 3, 3)


@given(windows=observed_windows(), rng=seeded(), size=st.sampled_from([1.0, 1e3, 1e6]))
def test_values_under_the_mask_never_count(masked, windows, rng, size):
    """What the mask hides may be any number."""
    observed = ~np.isnan(windows)
    mask = observed.astype("float32")
    values = np.where(observed, windows / 8, 0).astype("float32")
    poisoned = np.where(observed, values, size * rng.normal(size=values.shape)).astype("float32")
    state = rng.normal(size=values.shape).astype("float32")
    expected, found = masked(state, values, mask), masked(state, poisoned, mask)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.fixture(scope="module")
def losses(genn):
    """Loss of given states, and loss and derivatives of the model's own."""
    model, _ = genn

    def own(observations, truth):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(observations, truth, model(observations))
        gradients = tape.gradient(loss, model.trainable_variables)
        return loss, [gradient for gradient in gradients if gradient is not None]

    return graph(model.compute_loss, 3, 3), graph(own, 3, 2)


@pytest.mark.long
@given(windows=observed_windows(), rng=seeded())
def test_truth_that_is_not_known_never_counts_in_training(losses, windows, rng):
    """Nor does what the solver makes of it: loss and derivatives stay finite."""
    loss_of, own = losses
    observations = np.where(rng.random(windows.shape) < 0.5, windows, np.float32(np.nan))
    state = rng.normal(0, 8, windows.shape).astype("float32")
    elsewhere = np.where(np.isnan(windows), np.float32(1e6), state)
    expected = loss_of(observations, windows, state)
    np.testing.assert_array_equal(loss_of(observations, windows, elsewhere), expected)
    loss, gradients = own(observations, windows)
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 31, 32, 33, 65])
def test_batches_of_a_reconstruction_do_not_show(genn, count, rng):
    model, psi = genn
    windows = np.where(rng.random((count, 12, 3)) < 0.3, rng.normal(0, 8, (count, 12, 3)), np.nan)
    states = reconstruction.reconstruct(model, windows).states
    np.testing.assert_allclose(states, psi(windows.astype("float32")), **CLOSE)


@pytest.mark.long
@given(count=st.integers(2, 4), seed=st.integers(0, 9), cut=st.data())
def test_a_window_cut_from_a_file_is_the_window_of_the_file(
    genn, tmp_path_factory, count, seed, cut
):
    _, psi = genn
    folder = tmp_path_factory.mktemp("files")
    dataset = simulate_dataset(Lorenz63(), ObservationPlan((0, 2), 2, 1.0), count, 12, seed)
    number = cut.draw(st.integers(0, count - 1))
    states = []
    for windows in (dataset, dataset.isel(window=[number])):
        write_dataset(windows, folder / "windows.nc", force=True)
        observations = read_windows(folder / "windows.nc")["observations"].values
        states.append(psi(observations.astype("float32")))
    together, alone = states
    np.testing.assert_allclose(alone[0], together[number], **CLOSE)
