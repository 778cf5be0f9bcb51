"""A wide update on the plane of slots and components of a system on a circle."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import Update
from tf4dvar.layers.kernels.periodic import PlaneConv
from tf4dvar.layers.kernels.plane_block import PlaneBlock
from tf4dvar.layers.kernels.segments import from_slots, to_slots


@keras.saving.register_keras_serializable(package="tf4dvar")
class PlaneSlotCell(Update):
    """Residual update that sees the state beside the gradient, on slots of a few times.

        h <- block(h + relu(conv([x, gradient])));    increment = dense(h)

    The times of a slot are channels here: the plane has as many fewer places, and one iteration
    reaches as many more times, at which a wide h is affordable. Its last map begins at
    zero, so that an untrained solver leaves its first guess as it is.

    Args:
        slot: number of times of a slot; zeros fill the last one.
        width: channels of h.

    Call arguments:
        gradient: [batch, time, component].
        memory: (x, h): the state that the gradient was taken at, shaped as the gradient, and
            h, [batch, slot, component, width]; the first guess and zeros to begin with.

    Returns:
        The increment, shaped as the gradient, and the new memory.
    """

    def __init__(self, slot: int = 4, width: int = 48, **kwargs):
        super().__init__(**kwargs)
        self.slot = slot
        self.width = width

    def build(self, gradient_shape, *_):
        """Create the convolutions."""
        *_, components = gradient_shape
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

    def initial(self, first_guess):
        """The first guess, and zeros for every slot and component."""
        slots = to_slots(first_guess, self.slot)[..., :1]
        return first_guess, tf.repeat(tf.zeros_like(slots), self.width, axis=-1)

    def call(self, gradient, memory):
        """One update."""
        state, hidden = memory
        slots = [to_slots(values, self.slot) for values in (state, gradient)]
        entry = tf.nn.relu(self.enter(tf.concat(slots, axis=-1)))
        hidden = self.block(hidden + entry)
        increment = from_slots(self.leave(hidden), tf.shape(gradient)[1])
        return increment, (state - increment, hidden)

    def get_config(self):
        """Slot and width."""
        return {**super().get_config(), "slot": self.slot, "width": self.width}
