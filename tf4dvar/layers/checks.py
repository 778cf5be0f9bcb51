"""What every layer does when it is built."""

import keras


def check_components(layer: keras.layers.Layer, shape: tuple, components: int) -> None:
    """Refuse an input whose last axis has another number of components."""
    if len(shape) != 3 or shape[-1] != components:
        raise ValueError(
            f"{type(layer).__name__} received an input of shape {tuple(shape)}; "
            f"expected [batch, time, {components}]."
        )


def build_once(layer: keras.layers.Layer, *shapes: tuple) -> None:
    """Build a layer that another holds, unless it was: when loaded, or used before."""
    if not layer.built:
        layer.build(*shapes)
