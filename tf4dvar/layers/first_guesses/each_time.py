"""A first guess of every time by itself."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import FirstGuess, trait
from tf4dvar.layers.kernels.times import sizes


@keras.saving.register_keras_serializable(package="tf4dvar")
class EachTime(FirstGuess):
    """First guess by a network that sees one time alone, which knows of no later observation.

    Args:
        network: a layer of the contract `FirstGuess` without covariates.

    Call arguments:
        observations, mask, background: as the network takes them.

    Returns:
        What the network gives of each time.

    Usage:

        network = PeriodicFirstGuess(1, weighted=True, background=True, outputs=2)
        uncertainty = GaussianPosterior(EachTime(network))
    """

    def __init__(self, network: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        for name in ("of_observations", "weighted", "background", "outputs", "tolerance"):
            setattr(self, name, trait(network, FirstGuess, name))

    def build(self, observations_shape, *_):
        """Build the network."""
        build_once(self.network, observations_shape, call=self._first_call)

    def call(self, observations, mask, background=None):
        """Times as windows, and back."""
        given = [each for each in (observations, mask, background) if each is not None]
        times = self.network(*map(_alone, given))
        return tf.reshape(times, (*sizes(observations)[:2], *sizes(times)[2:]))

    def _first_call(self, values):
        return self.network(*[values] * (3 if self.background else 2))


def _alone(values):
    """[batch, time, ...] to [batch * time, 1, ...]."""
    return tf.reshape(values, (-1, 1, *sizes(values)[2:]))
