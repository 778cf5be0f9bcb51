"""Layers that no policy makes compute in half precision."""

import keras

from tf4dvar.errors import InputError
from tf4dvar.layers.configured import ConfiguredLayer

HALF = ("bfloat16", "float16")


class PreciseLayer(ConfiguredLayer):
    """A layer that computes in float32 at least, also under a policy of half precision.

    What is in physical units needs the digits (at 101325 Pa a step of bfloat16 is 512 Pa, and
    float16 ends at 65504), and so does a sum of thousands of squares.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if self.compute_dtype in HALF:
            self.dtype_policy = keras.DTypePolicy("float32")


def check_precise(layer: keras.layers.Layer) -> None:
    """Refuse a layer in physical units, for example a user's own, that computes in half precision.

    Args:
        layer: what works on physical states.
    """
    if layer.compute_dtype in HALF:
        raise InputError(
            f"Received {type(layer).__name__} of dtype {layer.dtype_policy.name}, which works in "
            "physical units: half precision has too few digits for them. Make it with "
            "dtype='float32'."
        )
