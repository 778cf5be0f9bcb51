"""Gauss-Newton steps to a trajectory, beside SciPy's least squares of its first state."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import least_squares

from tf4dvar.errors import InputError
from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    FirstGuess,
    LinearObservation,
    RK4Flow,
    TrajectorySolver,
)
from tf4dvar.layers.kernels.tangent import derivative, tangent_trajectories
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import Lorenz63, sample_windows

STEPS = 80
MIXED = np.array([[1.0, 0.5, 0.0]])


@keras.saving.register_keras_serializable(package="tests")
class Sure(FirstGuess):
    """Weights that differ from entry to entry: their logarithms are waves of the first guess.

    All go the same share of the way.
    """

    background = True
    outputs = 2

    def __init__(self, share=1.0, **kwargs):
        super().__init__(**kwargs)
        self.share = share
        self.more = tf.Variable(0.0, dtype="float64")

    def call(self, observations, mask, background):
        logs = 4.0 + tf.sin(3.0 * background) + self.more
        ratio = tf.constant(self.share / (1 + 1e-15 - self.share), logs.dtype)
        pairs = tf.stack([logs, tf.fill(tf.shape(logs), tf.math.log(ratio))], axis=-1)
        return tf.reshape(pairs, (*tf.unstack(tf.shape(mask)[:2]), 2 * background.shape[-1]))


@pytest.fixture
def flow():
    flow = true_flow("l63", "float64")
    flow.build((None, None, 3))
    return flow


@pytest.fixture
def truth(rng):
    return sample_windows(Lorenz63(), 3, STEPS, rng)


def model_of(
    truth, iterations=2, matrix=None, network=None, first_guess=None, flow=None, segment=None
):
    """A model of doubles whose first guess is what it is given as the background."""
    operator = None if matrix is None else LinearObservation(matrix, dtype="float64")
    model = FourDVarNet(
        flow or true_flow("l63", "float64"),
        TrajectorySolver(network or Sure(dtype="float64"), iterations, segment, dtype="float64"),
        first_guess=first_guess,
        observation=operator,
        noise_variance=2.0,
        dtype="float64",
    )
    model.adapt(truth if matrix is None else truth @ matrix.T, truth)
    return model


def observed(truth, rng, matrix=None):
    """Every fifth time, with noise of variance 2."""
    values = truth if matrix is None else truth @ matrix.T
    values = values + np.sqrt(2.0) * rng.normal(size=values.shape)
    values[:, np.arange(STEPS) % 5 > 0] = np.nan
    return values


def trajectory(first):
    states = [first]
    for _ in range(STEPS - 1):
        states.append(Lorenz63().step(states[-1]))
    return np.stack(states)


def tied_minimum(observations, background, mean, std, length, tie):
    """Trajectories of `length` times, tied by squares of jumps, that SciPy finds from the same."""
    log_weights = 4.0 + np.sin(3.0 * (background - mean) / std)
    starts = background[::length]

    def pieces(starts):
        windows = [np.copy(starts.reshape(-1, 3))]
        for _ in range(length):
            windows.append(Lorenz63().step(windows[-1]))
        windows = np.stack(windows, axis=1)
        jumps = windows[1:, 0] - windows[:-1, -1]
        return windows[:, :-1].reshape(-1, 3)[:STEPS], jumps

    def residuals(starts):
        states, jumps = pieces(starts)
        departures = (observations - states) / np.sqrt(2.0)
        changes = np.exp(log_weights / 2) * (states - background) / std
        terms = departures[np.isfinite(departures)], changes.ravel(), np.sqrt(tie) * jumps / std
        return np.concatenate([each.ravel() for each in terms])

    found = least_squares(residuals, starts.ravel(), xtol=1e-12, ftol=1e-12, gtol=1e-12)
    return pieces(found.x)[0]


def minimum(observations, background, mean, std, weight, matrix):
    """The trajectory that SciPy finds from the first state of the background."""
    log_weights = 4.0 + np.sin(3.0 * (background - mean) / std)

    def residuals(first):
        states = trajectory(first)
        departures = np.sqrt(weight / 2.0) * (observations - states @ matrix.T)
        changes = np.exp(log_weights / 2) * (states - background) / std
        return np.concatenate([departures[np.isfinite(departures)], changes.ravel()])

    found = least_squares(residuals, background[0], xtol=1e-12, ftol=1e-12, gtol=1e-12)
    return trajectory(found.x)


@pytest.mark.parametrize("matrix", [None, MIXED])
def test_it_is_the_minimum_over_trajectories(truth, rng, matrix):
    model = model_of(truth, 8, matrix)
    model.cost_gradient.cost.log_weights.assign(np.log([0.7, 1.0]))
    observations = observed(truth, rng, matrix)
    background = truth + 0.5 * rng.normal(size=truth.shape)
    found = model({"observations": observations, "background": background}).numpy()
    mean, std = model.normalisation.mean.numpy(), model.normalisation.std.numpy()
    matrix = np.eye(3) if matrix is None else matrix
    for window in range(len(truth)):
        given = observations[window], background[window]
        expected = minimum(*given, mean, std, 0.7, matrix)
        np.testing.assert_allclose(found[window], expected, atol=2e-4)
    assert np.square(found - truth).mean() < 0.1 * np.square(background - truth).mean()


@pytest.mark.parametrize("segment", [16, 25])
def test_it_is_the_minimum_over_trajectories_that_are_tied(segment, truth, rng):
    model = model_of(truth, 8, segment=segment)
    model.build((None, None, 3))
    model.solver.log_tie.assign(np.log(50.0))
    observations = observed(truth, rng)
    background = truth + 0.5 * rng.normal(size=truth.shape)
    found = model({"observations": observations, "background": background}).numpy()
    mean, std = model.normalisation.mean.numpy(), model.normalisation.std.numpy()
    expected = tied_minimum(observations[0], background[0], mean, std, segment, 50.0)
    np.testing.assert_allclose(found[0], expected, atol=2e-4)


def test_trajectories_that_are_tied_for_good_are_one(truth, rng):
    background = truth + 0.2 * rng.normal(size=truth.shape)
    inputs = {"observations": observed(truth, rng), "background": background}
    whole = model_of(truth, 8)(inputs)
    model = model_of(truth, 8, segment=16)
    model.build((None, None, 3))
    model.solver.log_tie.assign(np.log(1e8))
    np.testing.assert_allclose(model(inputs), whole, atol=1e-3)


def test_two_steps_are_near_and_none_is_the_first_guess(truth, rng):
    background = truth + 0.5 * rng.normal(size=truth.shape)
    inputs = {"observations": observed(truth, rng), "background": background}
    model = model_of(truth, 8)
    best = model(inputs)
    model.iterations = 2
    np.testing.assert_allclose(model(inputs), best, atol=0.02)
    model.iterations = 0
    np.testing.assert_allclose(model(inputs), background, rtol=1e-12)


def test_a_trajectory_stays_what_it_is(truth):
    nothing = np.full_like(truth, np.nan)
    found = model_of(truth)({"observations": nothing, "background": truth})
    np.testing.assert_allclose(found, truth, atol=1e-8)


def test_iterates_end_where_the_call_does(truth, rng):
    background = truth + 0.5 * rng.normal(size=truth.shape)
    inputs = {"observations": observed(truth, rng), "background": background}
    model = model_of(truth, 3)
    states, costs = model.iterates(inputs)
    assert states.shape == (4, *truth.shape)
    assert costs.shape == (4, 3)
    np.testing.assert_allclose(states[0], background)
    np.testing.assert_allclose(states[-1], model(inputs), rtol=1e-12)
    last, same = model.iterates(inputs, every_state=False)
    np.testing.assert_allclose(last[0], states[-1])
    np.testing.assert_allclose(same, costs)
    np.testing.assert_allclose(model.iterates(inputs, 0).states, states[:1])


def test_each_entry_goes_its_share_of_the_way(truth, rng):
    background = truth + 0.5 * rng.normal(size=truth.shape)
    inputs = {"observations": observed(truth, rng), "background": background}
    whole = model_of(truth)(inputs).numpy()
    part = model_of(truth, network=Sure(0.25, dtype="float64"))(inputs)
    np.testing.assert_allclose(part, background + 0.25 * (whole - background), rtol=1e-9)


def test_weights_are_trained_by_the_gradient_of_the_minimum(truth, rng):
    """Where states are nearly a trajectory, the least squares of the last step are all."""
    model = model_of(truth, 8)
    states = tf.constant(truth + 1e-4 * rng.normal(size=truth.shape))
    slope = rng.normal(size=truth.shape)
    observations = tf.constant(np.where(np.isnan(observed(truth, rng)), np.nan, truth))
    more = model.solver.network.more

    def value(states, log_weight):
        more.assign(log_weight)
        inputs = {"observations": observations, "background": states}
        return tf.reduce_sum(slope * model(inputs))

    with tf.GradientTape() as tape:
        tape.watch(states)
        result = value(states, 0.0)
    gradients = tape.gradient(result, [states, more])
    difference = (value(states, 1e-3) - value(states, -1e-3)) / 2e-3
    np.testing.assert_allclose(gradients[1], difference, rtol=1e-3)
    # What the iterations change is a constant to the first guess.
    np.testing.assert_allclose(gradients[0], slope)


@pytest.mark.parametrize("size", [10.0, 1e6])
@pytest.mark.parametrize("steps", [2, STEPS, 5000])
def test_what_is_near_no_trajectory_is_changed_by_a_deviation_at_most(size, steps, truth, rng):
    model = model_of(truth)
    states = size * rng.normal(size=(2, steps, 3))
    with tf.GradientTape() as tape:
        tape.watch(given := tf.constant(states))
        found = model({"observations": np.full_like(states, np.nan), "background": given})
        total = tf.reduce_sum(found)
    most = model.normalisation.std.numpy() * (1 + 1e-9) + 1e-9 * size
    assert (np.abs(found.numpy() - states) <= most).all()
    assert np.isfinite(tape.gradient(total, given)).all()


def test_forced_dynamics_see_their_covariates(rng):
    @keras.saving.register_keras_serializable(package="tests")
    class Forced(keras.layers.Layer):
        covariates = 1

        def call(self, state, covariates):
            return -state + covariates

    flow = RK4Flow(Forced(dtype="float64"), 0.1, dtype="float64")
    forcing = np.sin(np.arange(30) / 3).reshape(1, 30, 1)
    states = [np.full((1, 1, 2), 0.5)]
    for time in range(29):
        pair = tf.constant(forcing[:, time : time + 2])
        beside = tf.concat([pair[:, :1], pair[:, 1:]], axis=-1)
        states.append(flow.step(tf.constant(states[-1]), beside).numpy())
    truth = np.concatenate(states, axis=1)
    background = truth + 0.1 * rng.normal(size=truth.shape)
    model = model_of(truth, 3, flow=flow)
    inputs = {"observations": np.full_like(truth, np.nan), "background": background}
    found = model({**inputs, "covariates": forcing})
    assert np.abs(found - truth).max() < 0.5 * np.abs(background - truth).max()
    np.testing.assert_allclose(model.prior(found, forcing), found, atol=1e-6)


@pytest.mark.parametrize("segment", [None, 16])
def test_with_a_learned_first_guess_it_learns(segment, truth, rng, tmp_path):
    attention = {"segment": 8, "width": 16, "depth": 1, "heads": 2, "dtype": "float64"}
    network = AttentionFirstGuess(**attention, weighted=True, background=True, outputs=2)
    guess = AttentionFirstGuess(**attention, weighted=True)
    model = model_of(truth, 2, network=network, first_guess=guess, segment=segment)
    observations = observed(truth, rng)
    model.compile("adam")
    assert not model.jit_compile
    losses = model.fit(observations, truth, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_mean(tf.square(model(observations) - truth))
    for layer in (network, guess):
        gradients = tape.gradient(loss, layer.trainable_variables)
        assert all(np.isfinite(each).all() for each in gradients)
        assert all(np.abs(each).max() > 0 for each in gradients[-4:])
    if segment is not None:
        assert np.abs(tape.gradient(loss, model.solver.log_tie)) > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(observations), model(observations))


def test_changes_of_a_trajectory_are_those_of_trajectories_from_near_by(flow, truth, rng):
    growth, drift = tangent_trajectories(flow, tf.constant(truth))
    np.testing.assert_allclose(drift, 0.0, atol=1e-11)
    first = 1e-5 * rng.normal(size=(3, 3))
    moved = np.stack([trajectory(state) for state in truth[:, 0] + first])
    expected = np.einsum("btij,bj->bti", growth, first)
    np.testing.assert_allclose(moved - truth, expected, atol=2e-3 * np.abs(expected).max())


def test_defects_of_a_window_go_on_with_the_dynamics(flow, truth, rng):
    window = truth + 0.3 * rng.normal(size=truth.shape)
    growth, drift = (each.numpy() for each in tangent_trajectories(flow, tf.constant(window)))
    np.testing.assert_array_equal(growth[:, 0], np.tile(np.eye(3), (3, 1, 1)))
    np.testing.assert_array_equal(drift[:, 0], 0.0)
    for time in (1, 2, 57, STEPS - 1):
        before, small = window[:, time - 1], 1e-6
        columns = [
            (Lorenz63().step(before + small * unit) - Lorenz63().step(before - small * unit))
            / (2 * small)
            for unit in np.eye(3)
        ]
        matrix = np.stack(columns, axis=-1)
        moved = np.einsum("bij,bj->bi", matrix, drift[:, time - 1])
        moved += Lorenz63().step(before) - window[:, time]
        np.testing.assert_allclose(growth[:, time], matrix @ growth[:, time - 1], atol=1e-6)
        np.testing.assert_allclose(drift[:, time], moved, atol=1e-6)


@pytest.mark.parametrize("windows_at_once", [1, 2])
def test_derivatives_some_windows_after_others(flow, truth, windows_at_once, monkeypatch):
    together = derivative(flow, 3, tf.constant(truth))
    entries = windows_at_once * 3 * truth[0].size
    monkeypatch.setattr("tf4dvar.layers.kernels.tangent.ENTRIES", entries)
    for found, expected in zip(derivative(flow, 3, tf.constant(truth)), together, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    nothing, _ = derivative(flow, 3, tf.constant(truth[:0]))
    assert nothing.shape == (0, STEPS, 3)


def test_what_cannot_be_one_is_refused():
    with pytest.raises(InputError, match="background=False and outputs=1"):
        TrajectorySolver(AttentionFirstGuess())
    with pytest.raises(InputError, match="segment=0; expected a number of times"):
        TrajectorySolver(Sure(), segment=0)
    with pytest.raises(InputError, match="background=True and outputs=3"):
        TrajectorySolver(AttentionFirstGuess(background=True, outputs=3))
    solver = TrajectorySolver(AttentionFirstGuess(background=True, outputs=2))
    with pytest.raises(InputError, match="expected a flow"):
        FourDVarNet(GENN(), solver)
    model = FourDVarNet(true_flow("l63"), solver)
    with pytest.raises(ValueError, match="takes no axes of space"):
        model.build((None, None, 4, 4, 3))
