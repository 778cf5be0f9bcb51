"""What every layer does when it is built."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def check_components(layer: keras.layers.Layer, shape: tuple, components: int) -> None:
    """Refuse an input whose last axis has another number of components."""
    if len(shape) < 3 or shape[-1] != components:
        raise ValueError(
            f"{type(layer).__name__} received an input of shape {tuple(shape)}; "
            f"expected [batch, time, {components}], or axes of space between these."
        )


def check_series(layer: keras.layers.Layer, shape: tuple) -> None:
    """Refuse a field, [batch, time, *space, variable], where components of a time are taken."""
    if len(shape) != 3:
        raise ValueError(
            f"{type(layer).__name__} received an input of shape {tuple(shape)}; it takes no axes "
            "of space, expected [batch, time, component]. For fields take layers of any rank, "
            "ConvCell, LSTMCell and a prior of convolutions, or reshape the places to components."
        )


def build_once(layer: keras.layers.Layer, *shapes: tuple, call: Callable | None = None) -> None:
    """Build a layer that another holds, and all layers within it, unless they were.

    Keras lets a layer make others in `__init__` and leave their weights to its first call. That is
    too late for an optimiser, and for weights that are loaded: such a layer is called once, on
    symbolic tensors, which changes nothing of its state.

    Args:
        layer: one that may be the user's own.
        shapes: of its inputs, or of the first of them.
        call: how it is called on a tensor of each shape; `layer(*tensors)` by default.
    """
    if not layer.built and (_builds_itself(layer) or not _holds_unbuilt(layer)):
        layer.build(*shapes)
    if not layer.built or _holds_unbuilt(layer):
        specs = [tf.TensorSpec(shape, layer.compute_dtype) for shape in shapes]
        with keras.StatelessScope():
            tf.function(call or layer, autograph=False).get_concrete_function(*specs)


def _builds_itself(layer):
    """Whether its class has a `build`, from the shape of its first input."""
    if type(layer).build is keras.layers.Layer.build:
        return False
    parameters = inspect.signature(layer.build).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is each.empty for each in parameters) == 1


def _holds_unbuilt(layer):
    # Keras keeps the layers of a layer to itself.
    return any(not each.built for each in layer._flatten_layers(include_self=False))


def held_layers(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a layer with those that it holds made anew; `build_once` builds them.

    Args:
        config: of `get_config`.
    """
    with warnings.catch_warnings():
        # Keras builds them too, and warns where that leaves out layers within them.
        warnings.filterwarnings("ignore", r"`build\(\)` was called on layer", UserWarning)
        return {
            name: keras.saving.deserialize_keras_object(value)
            if isinstance(value, dict | list | tuple)
            else value
            for name, value in config.items()
        }
