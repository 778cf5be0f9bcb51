import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from tf4dvar.errors import InputError
from tf4dvar.layers import OptimalInterpolation, UNetFirstGuess
from tf4dvar.layers.kernels.waves import axis_of, superposed, superposed_transposed


def axes_of(*axes):
    last = len(axes) - 1
    return [
        axis_of(tf.constant(points), shortest, periodic, number == last, "float64")
        for number, (points, shortest, periodic) in enumerate(axes)
    ]


def seen(shape, share, rng):
    mask = (rng.random(shape) < share).astype("float64")
    return mask * rng.normal(size=shape), mask


def covariance_of(layer, sizes, periods):
    """Between all points, wave by wave from the formula; the variance is 1."""
    length, duration, smoothness = (
        np.exp(weight[0]) for weight in (layer.log_length, layer.log_duration, layer.log_smoothness)
    )
    positions = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1)
    positions = positions.reshape(-1, len(sizes))
    apart = positions[:, None] - positions
    shortest = [layer.shortest_period, *[layer.shortest_wavelength] * (len(sizes) - 1)]
    highest = [int(period // wave) for period, wave in zip(periods, shortest, strict=True)]
    total, covariance = 0.0, np.zeros((len(apart), len(apart)))
    for numbers in itertools.product(*[range(-most, most + 1) for most in highest]):
        frequencies = 2 * np.pi * np.array(numbers) / periods
        moving = frequencies[0] + layer.drifts[0].numpy() @ frequencies[1:]
        square = (duration * moving) ** 2 + length**2 * (frequencies[1:] @ frequencies[1:])
        density = (1 + square / (2 * smoothness)) ** -(smoothness + len(sizes) / 2)
        covariance += density * np.cos(apart @ frequencies)
        total += density
    return covariance / total


def test_waves_are_cosines_and_sines():
    axes = axes_of((8, 5.0, False), (6, 3.0, True))
    numbers = [len(axis.frequencies) for axis in axes]
    assert numbers == [5, 3]  # of twelve steps -2 to 2, of six 0 to 2
    rng = np.random.default_rng(0)
    amplitudes = rng.normal(size=(2, 3, *numbers, 2))
    expected = np.zeros((2, 3, 8, 6))
    for (i, w), (j, k), t, x in itertools.product(
        enumerate(2 * np.pi * np.arange(-2, 3) / 12),
        enumerate(2 * np.pi * np.arange(3) / 6),
        range(8),
        range(6),
    ):
        cosine, sine = np.cos(w * t + k * x), np.sin(w * t + k * x)
        expected[..., t, x] += amplitudes[..., i, j, 0] * cosine - amplitudes[..., i, j, 1] * sine
    assert_allclose(superposed(tf.constant(amplitudes), axes), expected, atol=1e-12)


def test_the_transpose_is_one(rng):
    axes = axes_of((5, 4.0, False), (8, 3.0, True), (6, 2.0, False))
    numbers = [len(axis.frequencies) for axis in axes]
    amplitudes = tf.constant(rng.normal(size=(2, 3, *numbers, 2)))
    fields = tf.constant(rng.normal(size=(2, 3, 5, 8, 6)))
    there = np.sum(superposed(amplitudes, axes) * fields)
    assert_allclose(there, np.sum(amplitudes * superposed_transposed(fields, axes)), rtol=1e-12)


@pytest.mark.parametrize("boundary", ["periodic", "zero"])
def test_it_is_the_best_linear_estimate(boundary, rng):
    """Against the normal equations of the covariance that its formula states."""
    layer = OptimalInterpolation(2.0, 3.0, 1.5, 0.1, 3.0, 3.0, boundary, 1e-10, dtype="float64")
    sizes = (4, 6, 5)
    values, mask = seen((2, *sizes, 1), 0.3, rng)
    layer.build(values.shape)
    layer.drifts.assign([[0.3, -0.5]])
    factor = 1 if boundary == "periodic" else 1.5
    covariance = covariance_of(layer, sizes, [6, factor * 6, factor * 5])
    found = layer(values, mask)
    for window in range(2):
        known = np.flatnonzero(mask[window].ravel())
        among = covariance[np.ix_(known, known)] + 0.1 * np.eye(len(known))
        weights = np.linalg.solve(among, values[window].ravel()[known])
        assert_allclose(found[window].numpy().ravel(), covariance[:, known] @ weights, atol=1e-8)


def test_what_the_tolerance_leaves_is_far_below_the_error(rng):
    quick, exact = (
        OptimalInterpolation(boundary="periodic", dtype="float64", **settings)
        for settings in ({}, {"tolerance": 1e-9})
    )
    t, y, x = np.meshgrid(np.arange(15), np.arange(32), np.arange(32), indexing="ij")
    field = np.sin(2 * np.pi * (x - y) / 32 + t / 5) + np.cos(2 * np.pi * (x + 2 * y) / 32 - t / 9)
    _, mask = seen((1, 15, 32, 32, 1), 0.05, rng)
    values = mask * (field[None, ..., None] + 0.17 * rng.normal(size=mask.shape))
    soon, late = quick(values, mask), exact(values, mask)
    error = np.mean(np.square(late[0, ..., 0] - field))
    assert np.mean(np.square(soon - late)) < 0.05 * error < 0.01


def test_a_field_that_drifts_is_followed():
    """What was seen at one place is found later where the drift took it."""
    layer = OptimalInterpolation(2.0, 30.0, boundary="periodic", drift=1.0)
    values = np.zeros((1, 9, 32, 1), "float32")
    values[0, 2, 10] = 1.0
    layer.build(values.shape)
    found = layer(values, values)
    assert np.argmax(found[0, 6, :, 0]) == 14


def test_every_variable_is_by_itself(rng):
    layer = OptimalInterpolation(dtype="float64")
    values, mask = seen((1, 6, 8, 2), 0.4, rng)
    layer.build(values.shape)
    layer.log_length.assign([0.1, 2.0])
    changed = values.copy()
    changed[..., 1] *= 3
    assert_allclose(layer(changed, mask)[..., 0], layer(values, mask)[..., 0])
    assert np.abs(layer(changed, mask)[..., 1] - layer(values, mask)[..., 1]).max() > 0.1


def test_its_derivatives_are_those_of_finite_differences(rng):
    layer = OptimalInterpolation(
        2.0, 3.0, 1.5, 0.1, boundary="periodic", tolerance=1e-10, dtype="float64"
    )
    values, mask = map(tf.constant, seen((1, 4, 6, 5, 1), 0.4, rng))
    layer.build(values.shape)
    layer.drifts.assign([[0.3, -0.5]])
    weights = tf.constant(rng.normal(size=values.shape))

    def value(values):
        return tf.reduce_sum(weights * layer(values, mask))

    with tf.GradientTape() as tape:
        tape.watch(values)
        result = value(values)
    gradients = tape.gradient(result, [values, *layer.trainable_variables])
    # The interpolation is linear in what was observed.
    direction = mask * rng.normal(size=values.shape)
    assert_allclose(value(direction), tf.reduce_sum(gradients[0] * direction), rtol=1e-8)
    for variable, gradient in zip(layer.trainable_variables, gradients[1:], strict=True):
        before, found = variable.numpy(), []
        for step in (1e-4, -1e-4):
            variable.assign(before + step)
            found.append(float(value(values)))
        variable.assign(before)
        difference = (found[0] - found[1]) / 2e-4
        assert_allclose(tf.reduce_sum(gradient), difference, rtol=1e-5, atol=1e-7)


@pytest.mark.long
def test_its_covariance_is_learned(rng):
    """From observations of fields of another length and drift."""
    truth = OptimalInterpolation(4.0, 8.0, boundary="periodic", dtype="float32")
    shape = (64, 8, 32, 1)
    truth.build(shape)
    truth.drifts.assign([[1.0]])
    # What noise alone becomes has waves of the right scales; see its spectrum as the truth.
    covariance = covariance_of(truth, (8, 32), [12, 32])
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(covariance)))
    fields = (rng.normal(size=(64, len(root))) @ root.T).reshape(shape).astype("float32")
    mask = (rng.random(shape) < 0.2).astype("float32")
    noisy = mask * (fields + 0.1 * rng.normal(size=shape).astype("float32"))
    given = [keras.Input(shape[1:]) for _ in range(2)]
    layer = OptimalInterpolation(2.0, 4.0, boundary="periodic")
    model = keras.Model(given, layer(*given))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    best = float(np.mean(np.square(truth(noisy, mask) - fields)))
    before = model.evaluate([noisy, mask], fields, verbose=0)
    model.fit([noisy, mask], fields, batch_size=16, epochs=30, verbose=0)
    after = model.evaluate([noisy, mask], fields, verbose=0)
    assert after < best + 0.2 * (before - best)
    assert 0.7 < float(layer.drifts[0, 0]) < 1.3


def test_a_unet_begins_as_it_and_corrects_it(rng, tmp_path):
    values, mask = seen((2, 4, 8, 8, 1), 0.3, rng)
    start = OptimalInterpolation(boundary="periodic", dtype="float64")
    net = UNetFirstGuess(4, 1, segment=4, boundary="periodic", start=start, dtype="float64")
    net.build(values.shape)
    assert_allclose(net(values, mask), start(values, mask))
    net.leave.kernel.assign(rng.normal(size=net.leave.kernel.shape))
    assert np.abs(net(values, mask) - start(values, mask)).max() > 1e-3
    assert len(start.trainable_variables) == 6
    assert all(any(of is each for each in net.trainable_variables) for of in start.weights)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0.0}, "Received length=0.0; expected a positive number"),
        ({"noise_variance": np.inf}, "Received noise_variance=inf"),
        ({"shortest_wavelength": 1.0}, "Received shortest_wavelength=1.0; expected 2 or more"),
        ({"boundary": "wall"}, "boundary='wall'"),
    ],
)
def test_what_is_no_setting_is_refused(settings, message):
    with pytest.raises((InputError, ValueError), match=message):
        OptimalInterpolation(**settings)


def test_a_start_where_an_operator_observes_is_refused():
    with pytest.raises(
        InputError, match=r"components=3, .* expected none of these: a start is corrected"
    ):
        UNetFirstGuess(components=3, start=OptimalInterpolation())
