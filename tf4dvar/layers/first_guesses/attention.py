"""A first guess learned from the observations."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import FirstGuess
from tf4dvar.layers.kernels.segments import from_blocks, padded_blocks
from tf4dvar.layers.kernels.transformer_block import TransformerBlock

# Longest period of the position's waves, in slots; as in Vaswani et al. 2017.
LONGEST_PERIOD = 10_000.0
# Of slots, over windows and heads: 4 GiB in single precision, twice at a time.
MOST_PAIRS = 2**30


@keras.saving.register_keras_serializable(package="tf4dvar")
class AttentionFirstGuess(FirstGuess):
    """First guess by a transformer over the slots of a window.

    A window is cut into slots of a few times. What was observed in a slot, and what was not,
    becomes a vector; the vectors, with their place in the window, go through transformer blocks
    (Vaswani et al. 2017), and each becomes the states at the times of its slot. Trained on the
    squared error it tends to the mean of the states given the observations. It takes any
    pattern of observations and any window length, and is as good as its training on such ones.

    Args:
        slot: number of times of a slot; zeros fill the last one.
        width: channels of the transformer.
        depth: number of its blocks.
        heads: of their attention.
        components: of the state, where an observation operator makes them another number than
            what is observed.

    Call arguments:
        observations: [batch, time, observed], normalised, 0 where not observed.
        mask: same shape, 1 where observed, else 0.

    Returns:
        The first guess x0, [batch, time, component].
    """

    def __init__(
        self,
        slot: int = 8,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
        components: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if width % (2 * heads):
            raise ValueError(
                f"Received width={width}, heads={heads}; expected a multiple of twice the heads."
            )
        self.slot = slot
        self.width = width
        self.depth = depth
        self.heads = heads
        self.components = components

    def build(self, observations_shape, *_):
        """Create the transformer, and the maps into and out of it."""
        observed = observations_shape[-1]
        layers = keras.layers
        kwargs = {"dtype": self.dtype_policy}
        self.enter = layers.Conv1D(self.width, 5, padding="same", **kwargs)
        self.blocks = [
            TransformerBlock(self.width, self.heads, **kwargs) for _ in range(self.depth)
        ]
        self.norm = layers.LayerNormalization(**kwargs)
        self.widen = layers.Conv1D(2 * self.width, 3, padding="same", activation="gelu", **kwargs)
        self.leave = layers.Dense(self.slot * (self.components or observed), **kwargs)
        build_once(self.enter, (None, None, 2 * self.slot * observed))
        for layer in (*self.blocks, self.norm, self.widen):
            build_once(layer, (None, None, self.width))
        build_once(self.leave, (None, None, 2 * self.width))

    def call(self, observations, mask):
        """From slots to states."""
        observed = observations.shape[-1]
        slots = padded_blocks(tf.concat([observations, mask], axis=-1), self.slot)
        batch, count = tf.unstack(tf.shape(slots)[:2])
        self._check_memory(batch, count)
        slots = self.enter(tf.reshape(slots, (batch, count, 2 * self.slot * observed)))
        sequence = slots + self._positions(count)
        for block in self.blocks:
            sequence = block(sequence)
        states = self.leave(self.widen(self.norm(sequence)))
        states = tf.reshape(states, (batch, count, self.slot, self.components or observed))
        return from_blocks(states, tf.shape(observations)[1])

    def _check_memory(self, windows, slots):
        """Refuse what would take all of it: attention compares every slot with every other."""
        pairs = tf.cast(windows * self.heads, tf.float64) * tf.square(tf.cast(slots, tf.float64))
        tf.debugging.Assert(
            pairs <= MOST_PAIRS,
            [
                "Received windows that are too long, or too many at once, for attention over their",
                slots,
                f"slots of {self.slot} steps; cut them to shorter ones.",
            ],
        )

    def _positions(self, count):
        """Sines and cosines of the slot's number at geometric frequencies, [slot, width]."""
        half = self.width // 2
        exponents = tf.range(half, dtype=self.compute_dtype) / half
        frequencies = tf.cast(LONGEST_PERIOD, self.compute_dtype) ** -exponents
        angles = tf.range(count)[:, tf.newaxis]
        angles = tf.cast(angles, self.compute_dtype) * frequencies
        return tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)

    def get_config(self):
        """The sizes."""
        return {
            **super().get_config(),
            "slot": self.slot,
            "width": self.width,
            "depth": self.depth,
            "heads": self.heads,
            "components": self.components,
        }
