"""A first guess learned from the observations of a system on a circle."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once, check_series
from tf4dvar.layers.contracts import FirstGuess
from tf4dvar.layers.first_guesses.features import count_of, features
from tf4dvar.layers.kernels.convolution import Convolution
from tf4dvar.layers.kernels.periodic_block import PeriodicBlock
from tf4dvar.layers.kernels.segments import from_segments, to_segments


@keras.saving.register_keras_serializable(package="tf4dvar")
class PeriodicFirstGuess(FirstGuess):
    """First guess by residual convolutions over segments and components, periodic.

    A window is cut into segments of a few times. What was observed of a component in a segment, and
    what was not, becomes a vector; these vectors go through residual blocks of convolutions (He
    et al. 2016), and each becomes the component's states at the times of its segment. Trained on
    the squared error it tends to the mean of the states given the observations. It takes any
    pattern of observations, any window length and any number of components, and is as good as
    its training on such ones.

    Args:
        segment: number of times of a segment; zeros fill the last one.
        width: channels of the blocks.
        depth: number of residual blocks of two convolutions each.
        weighted, background, outputs: as of `AttentionFirstGuess`.
        kernel_size: odd, of the convolutions, in segments and in components, or for each; of single
            times (1, 5) sees farther in the same time than 3.

    Call arguments:
        observations: [batch, time, component], normalised, 0 where not observed.
        mask: same shape, 1 where observed, else 0; or weights.
        background: same shape, normalised, if it takes one.

    Returns:
        The first guess x0, shaped as the observations; of several outputs, [batch, time,
        component * outputs].
    """

    def __init__(
        self,
        segment: int = 4,
        width: int = 48,
        depth: int = 6,
        weighted: bool = False,
        background: bool = False,
        outputs: int = 1,
        kernel_size: int | Sequence[int] = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.segment = segment
        self.width = width
        self.depth = depth
        self.weighted = weighted
        self.background = background
        self.outputs = outputs
        self.kernel_size = kernel_size if isinstance(kernel_size, int) else tuple(kernel_size)

    def build(self, observations_shape, *_):
        """Create the convolutions."""
        check_series(self, observations_shape)
        places = (None, None, observations_shape[-1])
        kwargs = {"dtype": self.dtype_policy}
        of_each = self.width, self.kernel_size
        self.enter = Convolution(*of_each, boundary="periodic", use_bias=True, **kwargs)
        self.blocks = [PeriodicBlock(*of_each, **kwargs) for _ in range(self.depth)]
        self.norm = keras.layers.LayerNormalization(**kwargs)
        self.widen = keras.layers.Dense(2 * self.width, activation="relu", **kwargs)
        self.leave = keras.layers.Dense(self.segment * self.outputs, **kwargs)
        told = count_of(self.weighted) + self.background
        build_once(self.enter, (*places, told * self.segment))
        for layer in (*self.blocks, self.norm, self.widen):
            build_once(layer, (*places, self.width))
        build_once(self.leave, (*places, 2 * self.width))

    def call(self, observations, mask, background=None):
        """From segments to states."""
        told = features(observations, mask, self.weighted, background)
        segments = [to_segments(values, self.segment) for values in told]
        vectors = tf.nn.relu(self.enter(tf.concat(segments, axis=-1)))
        for block in self.blocks:
            vectors = block(vectors)
        states = self.leave(self.widen(self.norm(vectors)))
        batch, count, components, _ = tf.unstack(tf.shape(states))
        # The outputs of a component side by side.
        states = tf.reshape(states, (batch, count, components * self.outputs, self.segment))
        return from_segments(states, tf.shape(observations)[1])
