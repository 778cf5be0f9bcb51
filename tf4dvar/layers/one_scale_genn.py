"""GENN prior at a single scale."""

import keras

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.genn import BilinearBlock


@keras.saving.register_keras_serializable(package="tf4dvar")
class OneScaleGENN(keras.layers.Layer):
    """One-scale GENN prior: Phi(x) = psi(x), a `BilinearBlock` back to the components.

    Args:
        units, kernel_size, zero_centre: of the block.

    Call arguments:
        state: [batch, time, component], normalised units.

    Returns:
        Same shape.
    """

    def __init__(self, units: int = 30, kernel_size: int = 11, zero_centre: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_size = kernel_size
        self.zero_centre = zero_centre

    def build(self, input_shape):
        """Build the block."""
        self.block = BilinearBlock(
            input_shape[-1],
            self.units,
            self.kernel_size,
            self.zero_centre,
            dtype=self.dtype_policy,
        )
        build_once(self.block, input_shape)

    def call(self, state):
        """Predict every time from its neighbours."""
        return self.block(state)

    def linearise(self, state):
        """The prior and its pull-back; see `tf4dvar.layers.pull_back`."""
        return self.block.linearise(state)

    def get_config(self):
        """The settings."""
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_size": self.kernel_size,
            "zero_centre": self.zero_centre,
        }
