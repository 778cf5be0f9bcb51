"""How sure a reconstruction is."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.configured import ConfiguredLayer
from tf4dvar.layers.contracts import FirstGuess, seen_by, trait

# Of a component that is known best, in its deviations; and where a training begins.
LEAST_STD = 1e-3
FIRST_STD = 0.1
# Of the likelihood of all together. Where next to nothing is off its slopes are steep, and what
# the network has to know of single entries would be lost in their noise: with 1 it was.
TOGETHER = 0.1


class Spread(NamedTuple):
    """The covariance of a Gaussian over windows, D + F F^T with D diagonal.

    Attributes:
        std: standard deviation of every entry, [batch, time, *space, variable].
        loads: F by the roots of D, [batch, time, *space, variable, rank].
    """

    std: tf.Tensor
    loads: tf.Tensor

    @property
    def own(self) -> tf.Tensor:
        """The roots of D, of what no other entry knows, shaped as `std`."""
        return self.std / tf.sqrt(1 + tf.reduce_sum(tf.square(self.loads), axis=-1))


@keras.saving.register_keras_serializable(package="tf4dvar")
class GaussianPosterior(ConfiguredLayer):
    """A Gaussian of whole windows around a reconstruction, with what their times have in common.

    Its covariance is D + F F^T, with D diagonal and a few columns F: errors of a chaotic system
    grow along few directions, which tie a window's times and components together. Both come from a
    network that sees the observations' departures from the reconstruction, how well each was
    observed, and the reconstruction (as in Monteiro et al. 2020, arXiv:2006.06015, for images).

    Args:
        network: a layer of the contract `FirstGuess` that takes a background, with two outputs or
            more: their number less 1 is that of the columns of F.

    Call arguments:
        departures: [batch, time, *space, observed], y - H(x), normalised, 0 where not observed.
        weights: same shape; see `FirstGuess`.
        state: the reconstruction x, [batch, time, *space, variable], normalised.

    Returns:
        A `Spread`, normalised.

    Usage:

        network = AttentionFirstGuess(weighted=True, background=True, outputs=5)
        model = FourDVarNet(
            GENN(), GradientSolver(LSTMCell()), uncertainty=GaussianPosterior(network)
        )
    """

    def __init__(self, network: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        background, outputs = (
            trait(network, FirstGuess, name) for name in ("background", "outputs")
        )
        if not background or outputs < 2:
            raise InputError(
                f"Received a network with background={background} and outputs={outputs}; expected "
                "one that takes the reconstruction as its background, with two outputs or more, "
                "for example AttentionFirstGuess(background=True, outputs=5)."
            )
        self.network = network

    @property
    def rank(self) -> int:
        """Number of the columns of F."""
        return self.network.outputs - 1

    def build(self, departures_shape, weights_shape, state_shape):
        """Build the network."""

        def first_call(values):
            return self.network(values, values, tf.repeat(values[..., :1], state_shape[-1], -1))

        build_once(self.network, departures_shape, call=first_call)

    def call(self, departures, weights, state):
        """From what the network gives of every entry to standard deviations and loads."""
        given = self.network(departures, seen_by(self.network, weights), state)
        given = tf.cast(given, tf.as_dtype(self.variable_dtype))
        shape = tf.concat([tf.shape(state), [self.network.outputs]], axis=0)
        given = tf.reshape(given, shape)
        std = LEAST_STD + FIRST_STD * tf.nn.softplus(given[..., 0]) / np.log(2)
        return Spread(std, given[..., 1:])


def negative_log_likelihood(spread, errors, known):
    """Of true states, by the number of known entries, [batch]: of each alone, and of all together.

        - (sum of log N(e_i; 0, s_i^2) + 0.1 log N(e; 0, D + F F^T)) / n, without constants

    Standard deviations learn from single entries, loads from all together.

    Args:
        spread: a `Spread`.
        errors: truth less reconstruction, [batch, time, *space, variable], 0 where not known.
        known: 1 where the truth is known, 0 elsewhere, same shape.
    """
    batch = tf.shape(errors)[0]
    rank = spread.loads.shape[-1]
    known = tf.reshape(tf.cast(known, errors.dtype), (batch, -1))
    std = tf.reshape(spread.std, (batch, -1))
    given = Spread(tf.stop_gradient(spread.std), spread.loads)
    own = tf.reshape(given.own, (batch, -1))
    errors = tf.reshape(errors, (batch, -1)) * known
    loads = tf.reshape(spread.loads, (batch, -1, rank)) * known[..., tf.newaxis]
    number = tf.maximum(tf.reduce_sum(known, axis=1), 1.0)
    of_each = tf.square(errors / std) / 2 + known * tf.math.log(std)

    # By the identities of Woodbury and Sylvester: of a matrix of the few columns alone.
    own_errors = errors / own
    small = tf.eye(rank, dtype=errors.dtype) + tf.matmul(loads, loads, transpose_a=True)
    factor = tf.linalg.cholesky(small)
    common = tf.matmul(loads, own_errors[..., tf.newaxis], transpose_a=True)
    explained = tf.square(tf.linalg.triangular_solve(factor, common)[..., 0])
    squares = tf.reduce_sum(tf.square(own_errors), axis=1) - tf.reduce_sum(explained, axis=1)
    logs = tf.reduce_sum(known * tf.math.log(own), axis=1)
    logs += tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=1)
    return (tf.reduce_sum(of_each, axis=1) + TOGETHER * (squares / 2 + logs)) / number


def errors_of(spread, own_noise, common_noise):
    """What the truth may be off by, [batch, sample, time, *space, variable].

    Args:
        spread: a `Spread`.
        own_noise: of every entry, standard normal, of the result's shape.
        common_noise: standard normal, [batch, sample, rank].
    """
    common = tf.einsum("b...r,bsr->bs...", spread.loads, common_noise)
    return spread.own[:, tf.newaxis] * (own_noise + common)
