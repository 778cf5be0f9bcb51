"""What every prior, ODE, observation operator, first guess and update must stand.

A new one is found here as soon as `tf4dvar.layers` has its name.
"""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.layer_check import check_layer
from tf4dvar import layers
from tf4dvar.layers.adjoint import StateMap, with_adjoint

KINDS = (layers.Prior, layers.ODE, layers.ObservationOperator, layers.FirstGuess, layers.Update)
# What has no defaults: the class, or what makes one, and its arguments.
EXAMPLES = {
    layers.EulerFlow: lambda **dtype: layers.EulerFlow(layers.Lorenz63ODE(**dtype), 0.01, **dtype),
    layers.EachTime: lambda **dtype: layers.EachTime(layers.NearestFirstGuess(**dtype), **dtype),
    layers.FilterFirstGuess: lambda **dtype: layers.FilterFirstGuess(
        layers.AttentionFirstGuess(1, 16, 1, 2, background=True, **dtype), **dtype
    ),
    layers.FixedStepCell: lambda **dtype: layers.FixedStepCell(0.1, **dtype),
    layers.FunctionODE: lambda **dtype: layers.ode_layer(decay, components=3, **dtype),
    layers.LinearObservation: lambda **dtype: layers.LinearObservation(np.eye(3)[:2], **dtype),
    layers.NormalisedPrior: lambda **dtype: layers.NormalisedPrior(
        make(layers.RK4Flow, **dtype), layers.Normalisation(**dtype), **dtype
    ),
    layers.OptimalInterpolation: lambda **dtype: layers.OptimalInterpolation(
        tolerance=1e-12, **dtype
    ),
    layers.PeriodicGENN: lambda **dtype: layers.PeriodicGENN(units=4, kernel_size=5, **dtype),
    layers.QuasiGeostrophicFlow: lambda **dtype: layers.QuasiGeostrophicFlow(
        make(layers.QuasiGeostrophicODE, **dtype), parts=2, **dtype
    ),
    layers.QuasiGeostrophicODE: lambda **dtype: layers.QuasiGeostrophicODE(200e3, **dtype),
    layers.RK4Flow: lambda **dtype: layers.RK4Flow(layers.Lorenz63ODE(**dtype), 0.01, **dtype),
    layers.SystemFlow: lambda **dtype: layers.SystemFlow(
        layers.SystemODE("ks", **dtype), 0.5, **dtype
    ),
    layers.SystemODE: lambda **dtype: layers.SystemODE("l63", **dtype),
}
# On a circle, and of two layers.
COMPONENTS = {
    layers.Lorenz96ODE: 8,
    layers.PeriodicGENN: 8,
    layers.QuasiGeostrophicFlow: 2,
    layers.QuasiGeostrophicODE: 2,
    layers.SystemFlow: 128,
}
# What takes fields alone is given these where others are given series.
SPACE = {layers.QuasiGeostrophicFlow: (4, 6), layers.QuasiGeostrophicODE: (4, 6)}
PUBLIC = [
    found
    for found in map(vars(layers).get, layers.__all__)
    if inspect.isclass(found)
    and issubclass(found, KINDS)
    and found not in (*KINDS, layers.OneStepFlow)
]
SIZES = [(1, 2), (3, 24), (2, 37)]
# What takes components of a time, not places: a field is refused.
OF_SERIES = [
    layers.AttentionFirstGuess,
    layers.AutoEncoder,
    layers.FilterFirstGuess,
    layers.Lorenz96ODE,
    layers.PeriodicFirstGuess,
    layers.PeriodicGENN,
    layers.SegmentCell,
]
OF_FIELDS = [kind for kind in PUBLIC if kind not in OF_SERIES]
POLICIES = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


@keras.saving.register_keras_serializable(package="tests")
def decay(state, rate=0.5):
    return -rate * state


def make(kind, **dtype):
    return EXAMPLES.get(kind, kind)(**dtype)


def arguments(layer, batch, steps, dtype, rng, space=()):
    """What a layer of its kind is called with."""
    components = COMPONENTS.get(type(layer), 3)
    space = space or SPACE.get(type(layer), ())
    state = rng.normal(size=(batch, steps, *space, components)).astype(dtype)
    if isinstance(layer, layers.FirstGuess):
        mask = (rng.random(state.shape) < 0.4).astype(dtype)
        return state * mask, mask
    if isinstance(layer, layers.Update):
        return state, layer.initial(tf.constant(state))
    return (state,)


@pytest.mark.parametrize("kind", PUBLIC)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_comes_back_exactly(kind, dtype, rng, tmp_path):
    layer = make(kind, dtype=dtype)
    given = keras.tree.map_structure(np.asarray, arguments(layer, 3, 24, dtype, rng))
    check_layer(layer, *given, tmp_path=tmp_path)


@pytest.mark.parametrize("kind", PUBLIC)
def test_a_window_alone_is_as_in_a_batch_of_any_size_and_length(kind, rng):
    layer = make(kind, dtype="float64")
    for batch, steps in SIZES:
        given = arguments(layer, batch, steps, "float64", rng)
        together = layer(*given)
        alone = layer(*keras.tree.map_structure(lambda values: values[:1], given))
        for one, of_many in zip(
            keras.tree.flatten(alone), keras.tree.flatten(together), strict=True
        ):
            np.testing.assert_allclose(one[0], of_many[0], rtol=1e-9, atol=1e-12)
            assert of_many.shape[:1] == (batch,)


@pytest.mark.parametrize("kind", OF_FIELDS)
def test_a_field_comes_back_exactly_alone_and_with_others(kind, rng, tmp_path):
    layer = make(kind, dtype="float64")
    given = arguments(layer, 3, 6, "float64", rng, space=(4, 5))
    given = keras.tree.map_structure(np.asarray, given)
    together = check_layer(layer, *given, tmp_path=tmp_path)
    alone = layer(*keras.tree.map_structure(lambda values: values[:1], given))
    for one, of_many in zip(keras.tree.flatten(alone), together, strict=True):
        assert of_many.shape[:-1] == (3, 6, 4, 5)
        np.testing.assert_allclose(one[0], of_many[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", OF_SERIES)
def test_what_takes_no_field_says_so(kind, rng):
    layer = make(kind)
    given = np.zeros((3, 6, 4, 5, COMPONENTS.get(kind, 3)), "float32")
    other = (given,) if isinstance(layer, layers.FirstGuess) else ()
    other = ((given, given),) if isinstance(layer, layers.Update) else other
    with pytest.raises(ValueError, match=f"{kind.__name__} received .*; it takes no axes of space"):
        layer(given, *other)


@pytest.mark.parametrize("kind", PUBLIC)
@pytest.mark.parametrize("policy", POLICIES)
def test_half_precision_is_near(kind, policy, rng):
    exact, half = make(kind, dtype="float32"), make(kind, dtype=policy)
    given = arguments(exact, 2, 24, "float32", rng)
    expected = keras.tree.flatten(exact(*given))
    half(*given)
    for ours, theirs in zip(half.weights, exact.weights, strict=True):
        ours.assign(theirs)
    for value, other in zip(keras.tree.flatten(half(*given)), expected, strict=True):
        assert value.dtype in (half.compute_dtype, "float32")
        error = np.abs(np.asarray(value, "float32") - other).max()
        assert error <= 0.1 * max(1.0, np.abs(other).max())


@pytest.mark.parametrize("kind", [kind for kind in PUBLIC if issubclass(kind, StateMap)])
@pytest.mark.parametrize(("steps", "space"), [(2, ()), (25, ()), (4, (2, 3))])
def test_its_adjoint_is_that_of_the_tape(kind, steps, space, rng):
    if space and kind in OF_SERIES:
        pytest.skip("takes no field")
    layer = make(kind, dtype="float64")
    (state,) = map(tf.constant, arguments(layer, 2, steps, "float64", rng, space))
    layer(state)
    value, adjoint = with_adjoint(layer, state)
    residual = tf.constant(rng.normal(size=value.shape))
    expected, taped = StateMap.with_adjoint(layer, state)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(adjoint(residual), taped(residual), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in PUBLIC if issubclass(kind, layers.Update)])
def test_its_memory_keeps_its_form(kind, rng):
    update = make(kind)
    gradient, memory = arguments(update, 2, 24, "float32", rng)
    increment, after = update(gradient, memory)
    assert increment.shape == gradient.shape
    keras.tree.assert_same_structure(after, memory)
    for new, old in zip(keras.tree.flatten(after), keras.tree.flatten(memory), strict=True):
        assert (new.shape, new.dtype) == (old.shape, old.dtype)


@pytest.mark.parametrize("kind", [kind for kind in PUBLIC if issubclass(kind, layers.FirstGuess)])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_an_observation_and_with_all_it_begins_with_numbers(kind, share, rng):
    guess = make(kind)
    mask = np.full((2, 24, 3), share, "float32")
    assert np.isfinite(guess(mask * rng.normal(size=mask.shape).astype("float32"), mask)).all()


def test_what_has_neither_call_nor_adjoint_says_so():
    class Neither(layers.Prior):
        pass

    with pytest.raises(NotImplementedError, match="Neither has neither call nor with_adjoint"):
        Neither()(np.zeros((1, 2, 3)))
