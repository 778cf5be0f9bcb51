"""A wide update on the plane of slots and components of a system on a circle."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.kernels.periodic import PlaneConv
from tf4dvar.layers.kernels.plane_block import PlaneBlock
from tf4dvar.layers.kernels.segments import from_slots, to_slots


@keras.saving.register_keras_serializable(package="tf4dvar")
class PlaneSlotCell(keras.layers.Layer):
    """Residual update that sees the state beside the gradient, on slots of a few times.

        h <- block(h + relu(conv([x, gradient])));    increment = dense(h)

    The times of a slot are channels here: the plane has as many fewer places, and one iteration
    reaches as many more times, at which a wide memory h is affordable. Its last map begins at
    zero, so that an untrained solver leaves its first guess as it is.

    Args:
        slot: number of times of a slot; zeros fill the last one.
        width: channels of h.

    Call arguments:
        gradient: [batch, time, component].
        states: (x, h): the state that the gradient was taken at, shaped as the gradient, and
            the memory, [batch, slot, component, width]; the first guess and zeros to begin with.

    Returns:
        The increment, shaped as the gradient, and the new states.
    """

    def __init__(self, slot: int = 4, width: int = 48, **kwargs):
        super().__init__(**kwargs)
        self.slot = slot
        self.width = width

    def build(self, gradient_shape, *_):
        """Create the convolutions."""
        *_, components = gradient_shape
        self.state_size = (components, self.width)
        kwargs = {"dtype": self.dtype_policy}
        self.enter = PlaneConv(self.width, use_bias=True, **kwargs)
        self.block = PlaneBlock(self.width, **kwargs)
        self.leave = keras.layers.Dense(
            self.slot, use_bias=False, kernel_initializer="zeros", **kwargs
        )
        plane = (None, None, components)
        build_once(self.enter, (*plane, 2 * self.slot))
        for layer in (self.block, self.leave):
            build_once(layer, (*plane, self.width))

    def get_initial_state(self, first_guess):
        """The first guess, and zeros for every slot and component."""
        slots = to_slots(first_guess, self.slot)[..., :1]
        return first_guess, tf.repeat(tf.zeros_like(slots), self.width, axis=-1)

    def call(self, gradient, states):
        """One update."""
        state, memory = states
        slots = [to_slots(values, self.slot) for values in (state, gradient)]
        entry = tf.nn.relu(self.enter(tf.concat(slots, axis=-1)))
        memory = self.block(memory + entry)
        increment = from_slots(self.leave(memory), tf.shape(gradient)[1])
        return increment, (state - increment, memory)

    def get_config(self):
        """Slot and width."""
        return {**super().get_config(), "slot": self.slot, "width": self.width}
