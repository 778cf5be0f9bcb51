"""Layers that say how they were made."""

import inspect
from typing import Any

import keras
import numpy as np

from tf4dvar.layers.checks import held_layers

OF_KERAS = {*inspect.signature(keras.layers.Layer.__init__).parameters}


class ConfiguredLayer(keras.layers.Layer):
    """A layer whose configuration is what its constructor was given.

    Each argument of `__init__` is kept as an attribute of its name; then neither `get_config` nor
    `from_config` has to be written. Layers among them, and lists of layers, are made anew.
    """

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, by name.

        Raises:
            NotImplementedError: one of them is no attribute.
        """
        config = super().get_config()
        for name, parameter in inspect.signature(type(self).__init__).parameters.items():
            if name in OF_KERAS or parameter.kind is parameter.VAR_KEYWORD:
                continue
            if not hasattr(self, name):
                raise NotImplementedError(
                    f"{type(self).__name__} cannot be saved: its argument {name} is no attribute. "
                    f"Keep it as self.{name}, or write get_config."
                )
            config[name] = _written(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ConfiguredLayer":
        """The layers that it holds made anew, then the layer.

        Args:
            config: of `get_config`.
        """
        return cls(**held_layers(config))


def _written(value):
    if isinstance(value, list | tuple):
        return [_written(each) for each in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return keras.saving.serialize_keras_object(value)
