"""A first guess learned from the observations."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once, check_series
from tf4dvar.layers.contracts import FirstGuess
from tf4dvar.layers.first_guesses.features import count_of, features
from tf4dvar.layers.kernels.segments import from_blocks, padded_blocks
from tf4dvar.layers.kernels.transformer_block import TransformerBlock

# Longest period of the position's waves, in segments; as in Vaswani et al. 2017.
LONGEST_PERIOD = 10_000.0
# Of segments, over windows and heads: 4 GiB in single precision, twice at a time.
MOST_PAIRS = 2**30


@keras.saving.register_keras_serializable(package="tf4dvar")
class AttentionFirstGuess(FirstGuess):
    """First guess by a transformer over the segments of a window.

    A window is cut into segments of a few times. What was observed in a segment, and what was not,
    becomes a vector; the vectors, with their place in the window, go through transformer blocks
    (Vaswani et al. 2017), and each becomes the states at the times of its segment. Trained on the
    squared error it tends to the mean of the states given the observations. It takes any
    pattern of observations and any window length, and is as good as its training on such ones: it
    knows places in windows of the lengths that it was trained on.

    Args:
        segment: number of times of a segment; zeros fill the last one.
        width: channels of the transformer.
        depth: number of its blocks.
        heads: of their attention.
        components: of the state, where an observation operator makes them another number than
            what is observed.
        weighted: whether it is told the noise, see `FirstGuess`; without, it is as good as its
            training on noise of one size.
        background: whether it is given a state to go by.
        outputs: numbers that it gives of every component; see `GaussianPosterior`.

    Call arguments:
        observations: [batch, time, observed], normalised, 0 where not observed.
        mask: same shape, 1 where observed, else 0; or weights.
        background: [batch, time, component], normalised, if it takes one.

    Returns:
        The first guess x0, [batch, time, component]; of several outputs, [batch, time,
        component * outputs].
    """

    any_length = False

    def __init__(
        self,
        segment: int = 8,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
        components: int | None = None,
        weighted: bool = False,
        background: bool = False,
        outputs: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if width % (2 * heads):
            raise ValueError(
                f"Received width={width}, heads={heads}; expected a multiple of twice the heads."
            )
        self.segment = segment
        self.width = width
        self.depth = depth
        self.heads = heads
        self.components = components
        self.weighted = weighted
        self.background = background
        self.outputs = outputs

    def build(self, observations_shape, *_):
        """Create the transformer, and the maps into and out of it."""
        check_series(self, observations_shape)
        observed = observations_shape[-1]
        layers = keras.layers
        kwargs = {"dtype": self.dtype_policy}
        self.enter = layers.Conv1D(self.width, 5, padding="same", **kwargs)
        self.blocks = [
            TransformerBlock(self.width, self.heads, **kwargs) for _ in range(self.depth)
        ]
        self.norm = layers.LayerNormalization(**kwargs)
        self.widen = layers.Conv1D(2 * self.width, 3, padding="same", activation="gelu", **kwargs)
        self.leave = layers.Dense(self.segment * self._given(observed), **kwargs)
        build_once(self.enter, (None, None, self._channels(observed)))
        for layer in (*self.blocks, self.norm, self.widen):
            build_once(layer, (None, None, self.width))
        build_once(self.leave, (None, None, 2 * self.width))

    def call(self, observations, mask, background=None):
        """From segments to states."""
        observed = observations.shape[-1]
        told = features(observations, mask, self.weighted, background)
        segments = padded_blocks(tf.concat(told, axis=-1), self.segment)
        batch, count = tf.unstack(tf.shape(segments)[:2])
        count = self._checked(batch, count)
        segments = self.enter(tf.reshape(segments, (batch, count, self._channels(observed))))
        sequence = segments + self._positions(count)
        for block in self.blocks:
            sequence = block(sequence)
        states = self.leave(self.widen(self.norm(sequence)))
        states = tf.reshape(states, (batch, count, self.segment, self._given(observed)))
        return from_blocks(states, tf.shape(observations)[1])

    def _channels(self, observed):
        """Of a segment."""
        components = self.components or observed
        told = count_of(self.weighted) * observed + self.background * components
        return self.segment * told

    def _given(self, observed):
        """Numbers of a time."""
        return self.outputs * (self.components or observed)

    def _checked(self, windows, segments):
        """The number of segments; refused where attention, each with each, would take the memory.

        What follows hangs on it, as in a graph what does not may be computed before.
        """
        pairs = tf.cast(windows * self.heads, tf.float64) * tf.square(tf.cast(segments, tf.float64))
        fits = tf.debugging.Assert(
            pairs <= MOST_PAIRS,
            [
                "Received windows that are too long, or too many at once, for attention over their",
                segments,
                f"segments of {self.segment} steps; cut them to shorter ones.",
            ],
        )
        with tf.control_dependencies([fits]):
            return tf.identity(segments)

    def _positions(self, count):
        """Sines and cosines of the segment's number at geometric frequencies, [segment, width]."""
        half = self.width // 2
        exponents = tf.range(half, dtype=self.compute_dtype) / half
        frequencies = tf.cast(LONGEST_PERIOD, self.compute_dtype) ** -exponents
        angles = tf.range(count)[:, tf.newaxis]
        angles = tf.cast(angles, self.compute_dtype) * frequencies
        return tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)
