"""A block of a transformer."""

import keras

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.configured import ConfiguredLayer


@keras.saving.register_keras_serializable(package="tf4dvar")
class TransformerBlock(ConfiguredLayer):
    """Attention over a sequence, then a network on each element (Xiong et al. 2020, "pre-LN").

        h = x + attention(norm(x));    h + dense(gelu(dense(norm(h))))

    Args:
        width: channels in and out.
        heads: of the attention; they share the width.

    Call arguments:
        sequence: [batch, element, width].

    Returns:
        Same shape.
    """

    def __init__(self, width: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.heads = heads

    def build(self, input_shape):
        """Create attention, network and norms."""
        layers = keras.layers
        kwargs = {"dtype": self.dtype_policy}
        self.attention_norm = layers.LayerNormalization(**kwargs)
        self.attention = layers.MultiHeadAttention(self.heads, self.width // self.heads, **kwargs)
        self.network_norm = layers.LayerNormalization(**kwargs)
        self.widen = layers.Dense(4 * self.width, activation="gelu", **kwargs)
        self.narrow = layers.Dense(self.width, **kwargs)
        shape = (None, None, self.width)
        build_once(self.attention, shape, shape)
        for layer in (self.attention_norm, self.network_norm, self.widen):
            build_once(layer, shape)
        build_once(self.narrow, (None, None, 4 * self.width))

    def call(self, sequence):
        """Attend, then transform each element."""
        normed = self.attention_norm(sequence)
        sequence = sequence + self.attention(normed, normed)
        return sequence + self.narrow(self.widen(self.network_norm(sequence)))
