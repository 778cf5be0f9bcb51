"""A window's states depend on that window alone, and on its observed values alone."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.strategies import observed_windows, seeded
from tf4dvar import evaluation
from tf4dvar.data import read_windows, simulate_dataset, write_dataset
from tf4dvar.data.plan import ObservationPlan
from tf4dvar.layers import LinearInterpolation
from tf4dvar.systems import Lorenz63

# Sums in float32 over other shapes are taken in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-3}
# Quiet NaNs with a sign or a payload, as other programs write them for missing values.
NANS = np.array([0x7FC00000, 0xFFC00000, 0x7FC12345, 0xFFFFFFFF], np.uint32).view(np.float32)


def of_the_model(model, windows):
    return windows[..., : model.observed_components]


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


@given(windows=observed_windows(), rng=seeded(), poison=st.sampled_from([1e6, np.nan, -1.0, 0.0]))
def test_the_variance_of_what_is_not_observed_never_counts(any_model, windows, rng, poison):
    model, _ = any_model
    windows = of_the_model(model, windows)
    variance = rng.uniform(0.1, 3, windows.shape).astype("float32")
    poisoned = np.where(np.isnan(windows), np.float32(poison), variance)
    expected = model((windows, variance))
    np.testing.assert_array_equal(model((windows, poisoned)), expected)


@given(windows=observed_windows(), rng=seeded(), size=st.sampled_from([1.0, 1e3, 1e6]))
def test_values_under_the_mask_never_count(genn, windows, rng, size):
    """Layers get values and mask apart: what the mask hides may be any number."""
    model, _ = genn
    observed = ~np.isnan(windows)
    mask = observed.astype("float32")
    values = np.where(observed, windows / 8, 0).astype("float32")
    poisoned = np.where(observed, values, size * rng.normal(size=values.shape)).astype("float32")
    state = rng.normal(size=values.shape).astype("float32")
    interpolation, cost = LinearInterpolation(), model.solver.gradient.cost
    layers = {
        "first guess": interpolation,
        "cost": lambda *seen: cost(state, *seen),
        "gradient": lambda *seen: model.solver.gradient(state, *seen)[0],
        "states": lambda *seen: model.solver(tf.constant(state), *seen),
        "costs": lambda *seen: model.solver.pathway(tf.constant(state), *seen).costs,
    }
    for name, layer in layers.items():
        expected = np.asarray(layer(values, mask))
        np.testing.assert_array_equal(layer(poisoned, mask), expected, err_msg=name)


@given(windows=observed_windows(), rng=seeded())
def test_truth_that_is_not_known_never_counts_in_training(genn, windows, rng):
    """Nor does what the solver makes of it: loss and derivatives stay finite."""
    model, _ = genn
    truth = windows
    observations = np.where(rng.random(windows.shape) < 0.5, windows, np.nan)
    state = rng.normal(0, 8, windows.shape).astype("float32")
    elsewhere = np.where(np.isnan(truth), 1e6 * rng.normal(size=truth.shape), state)
    losses = [
        model.compute_loss(observations, truth, x.astype("float32")) for x in (state, elsewhere)
    ]
    np.testing.assert_array_equal(*losses)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(observations, truth, model(observations))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients if gradient is not None)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 65])
def test_batches_of_a_reconstruction_do_not_show(genn, count, rng):
    model, psi = genn
    windows = np.where(rng.random((count, 12, 3)) < 0.3, rng.normal(0, 8, (count, 12, 3)), np.nan)
    states = evaluation.reconstruct(model, windows).states
    np.testing.assert_allclose(states, psi(windows.astype("float32")), **CLOSE)


@given(count=st.integers(1, 4), steps=st.integers(2, 12), seed=st.integers(0, 9), cut=st.data())
def test_a_window_cut_from_a_file_is_the_window_of_the_file(
    genn, tmp_path_factory, count, steps, seed, cut
):
    model, _ = genn
    plan = ObservationPlan((0, 2), 2, 1.0)
    folder = tmp_path_factory.mktemp("files")
    dataset = simulate_dataset(Lorenz63(), plan, count, steps, seed)
    write_dataset(dataset, folder / "all.nc")
    number = cut.draw(st.integers(0, count - 1))
    write_dataset(dataset.isel(window=[number]), folder / "one.nc")
    together, alone = (
        evaluation.reconstruct(model, read_windows(folder / name)["observations"].values).states
        for name in ("all.nc", "one.nc")
    )
    np.testing.assert_allclose(alone[0], together[number], **CLOSE)
