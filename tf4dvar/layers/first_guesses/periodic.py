"""A first guess learned from the observations of a system on a circle."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import FirstGuess
from tf4dvar.layers.kernels.periodic import PlaneConv
from tf4dvar.layers.kernels.plane_block import PlaneBlock
from tf4dvar.layers.kernels.segments import from_slots, to_slots


@keras.saving.register_keras_serializable(package="tf4dvar")
class PlaneFirstGuess(FirstGuess):
    """First guess by residual convolutions on the plane of slots and components, periodic.

    A window is cut into slots of a few times. What was observed of a component in a slot, and
    what was not, becomes a vector; the plane of these vectors goes through residual blocks (He
    et al. 2016), and each becomes the component's states at the times of its slot. Trained on
    the squared error it tends to the mean of the states given the observations. It takes any
    pattern of observations, any window length and any number of components, and is as good as
    its training on such ones.

    Args:
        slot: number of times of a slot; zeros fill the last one.
        width: channels of the plane.
        depth: number of residual blocks; each reaches two slots and components further.

    Call arguments:
        observations: [batch, time, component], normalised, 0 where not observed.
        mask: same shape, 1 where observed, else 0.

    Returns:
        The first guess x0, shaped as the observations.
    """

    def __init__(self, slot: int = 4, width: int = 48, depth: int = 6, **kwargs):
        super().__init__(**kwargs)
        self.slot = slot
        self.width = width
        self.depth = depth

    def build(self, observations_shape, *_):
        """Create the convolutions."""
        kwargs = {"dtype": self.dtype_policy}
        self.enter = PlaneConv(self.width, use_bias=True, **kwargs)
        self.blocks = [PlaneBlock(self.width, **kwargs) for _ in range(self.depth)]
        self.norm = keras.layers.LayerNormalization(**kwargs)
        self.widen = keras.layers.Dense(2 * self.width, activation="relu", **kwargs)
        self.leave = keras.layers.Dense(self.slot, **kwargs)
        plane = (None, None, observations_shape[-1])
        build_once(self.enter, (*plane, 2 * self.slot))
        for layer in (*self.blocks, self.norm, self.widen):
            build_once(layer, (*plane, self.width))
        build_once(self.leave, (*plane, 2 * self.width))

    def call(self, observations, mask):
        """From slots to states."""
        slots = [to_slots(values, self.slot) for values in (observations, mask)]
        plane = tf.nn.relu(self.enter(tf.concat(slots, axis=-1)))
        for block in self.blocks:
            plane = block(plane)
        states = self.leave(self.widen(self.norm(plane)))
        return from_slots(states, tf.shape(observations)[1])

    def get_config(self):
        """The sizes."""
        return {
            **super().get_config(),
            "slot": self.slot,
            "width": self.width,
            "depth": self.depth,
        }
