"""The auto-encoder prior."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import check_series
from tf4dvar.layers.contracts import Prior
from tf4dvar.layers.kernels.segments import from_blocks, to_blocks


@keras.saving.register_keras_serializable(package="tf4dvar")
class AutoEncoder(Prior):
    """Auto-encoder prior (eq. 9): Phi(x) = decode(encode(x)).

    The encoder is a convolution over time with ReLU and one of stride `scale` to `latent`
    numbers a block of times; the decoder is a convolution over blocks with ReLU and a
    transposed one of that stride. The bottleneck, not a zero centre, keeps Phi from being the
    identity: `latent` has to be smaller than `scale` times the number of components.

    Args:
        latent: numbers that describe a block.
        units: hidden channels.
        kernel_size: width of the convolution over time.
        scale: number of times of a block; the last time is repeated to fill the last one.

    Call arguments:
        state: [batch, time, component], normalised units. Any window length.

    Returns:
        Same shape.
    """

    def __init__(
        self, latent: int = 6, units: int = 30, kernel_size: int = 11, scale: int = 4, **kwargs
    ):
        super().__init__(**kwargs)
        # The gradient of `tf.slice` under XLA has no gradient itself, which the solver takes.
        self.supports_jit = False
        self.latent = latent
        self.units = units
        self.kernel_size = kernel_size
        self.scale = scale

    def build(self, input_shape):
        """Create encoder and decoder."""
        check_series(self, input_shape)
        components = input_shape[-1]
        if not self.latent < self.scale * components:
            raise ValueError(
                f"Received latent={self.latent} for blocks of {self.scale} times "
                f"{components} numbers; expected fewer, or Phi could be the identity."
            )
        self.features = self._convolution(self.units, self.kernel_size, "relu", "features")
        self.code = self._convolution(self.latent, 1, None, "code")
        self.expand = self._convolution(self.units, 3, "relu", "expand")
        self.out = self._convolution(self.scale * components, 1, None, "out")
        self.features.build((None, None, components))
        self.code.build((None, None, self.scale * self.units))
        self.expand.build((None, None, self.latent))
        self.out.build((None, None, self.units))

    def _convolution(self, filters, kernel_size, activation, name):
        return keras.layers.Conv1D(
            filters,
            kernel_size,
            padding="same",
            activation=activation,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, state):
        """Encode and decode."""
        features = to_blocks(self.features(state), self.scale)
        shape = tf.shape(features)
        # A convolution whose width is its stride is a linear map of each block.
        code = self.code(tf.reshape(features, (*tf.unstack(shape[:2]), self.scale * self.units)))
        blocks = tf.reshape(
            self.out(self.expand(code)), (*tf.unstack(shape[:2]), self.scale, state.shape[-1])
        )
        return from_blocks(blocks, tf.shape(state)[1])
