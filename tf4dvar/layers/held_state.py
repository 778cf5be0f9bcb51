"""Iterations during which the layers that they call stay as they are."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf


class HeldState:
    """What a layer keeps from call to call, held for the calls of one solve.

    The variational cost has to be one function while it is minimised. So Dropout drops the same
    entries in all iterations, and what a call would move or add, BatchNormalization's moving
    statistics and `add_loss`, is left out; of these the calls of a loop could not tell anyway.

    Args:
        layers: those that are called, with the layers within them.
    """

    def __init__(self, *layers: keras.layers.Layer):
        # Read now: iterations that are computed again on the way back come after the one more.
        variables = [each for layer in layers for each in layer.non_trainable_variables]
        self._values = [(each, tf.identity(each)) for each in variables]
        self._needed = False

    @contextmanager
    def calls(self) -> Iterator[None]:
        """Calls within leave the layer's variables and losses as they are."""
        with keras.StatelessScope(self._values, collect_losses=True) as scope:
            before = dict(scope.state_mapping)
            yield
            moved = any(before.get(key) is not now for key, now in scope.state_mapping.items())
        self._needed |= moved or bool(scope.losses)

    @property
    def needs_a_call(self) -> bool:
        """Whether a call would have moved or added something; one more, outside, then does it."""
        return self._needed
