"""The variational cost."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.adjoint import linearise
from tf4dvar.layers.checks import build_once, held_layers
from tf4dvar.layers.precise_layer import PreciseLayer


class Misfit(NamedTuple):
    """How far a state is from the observations of one source.

    Attributes:
        departure: H(x) - y, [batch, time, observed].
        weighted: the same times the entries' weights, 0 where not observed.
        total: sum of the weights of every window, [batch].
    """

    departure: tf.Tensor
    weighted: tf.Tensor
    total: tf.Tensor

    def mean_square(self, factors=None):
        """Weighted mean of the squared departures of every window, [batch].

        Args:
            factors: of the squares, of a shape that goes with them; the mean's weights stay.
        """
        squares = self.weighted * self.departure
        squares = tf.reduce_sum(squares if factors is None else factors * squares, axis=(1, 2))
        return tf.math.divide_no_nan(squares, self.total)


def misfits(operator: keras.layers.Layer | None, seen, observations, mask) -> list[Misfit]:
    """The misfit to each source.

    Args:
        operator: H, or None where the state itself is observed.
        seen: H(x), [batch, time, observed].
        observations, mask: as for `VariationalCost`.
    """
    departure = seen - observations
    sources = getattr(operator, "sources", (seen.shape[-1],))
    if len(sources) == 1:
        parts = [departure], [mask]
    else:
        parts = tf.split(departure, sources, axis=-1), tf.split(mask, sources, axis=-1)
    return [Misfit(d, d * m, tf.reduce_sum(m, axis=(1, 2))) for d, m in zip(*parts, strict=True)]


@keras.saving.register_keras_serializable(package="tf4dvar")
class VariationalCost(PreciseLayer):
    """U_Phi(x, y, Omega), one number a window (eq. 4, its terms averaged).

        U = observation_weight * mean over Omega of (H(x) - y)^2
          + prior_weight * mean over all entries of (x - Phi(x))^2

    The paper observes the state itself, H(x) = x. Observations of several sources have a term
    and a weight for each; entries of different noise a weighted mean. A window without
    observations has the prior's term alone.

    Args:
        prior: Phi, a layer from [batch, time, component] to the same shape.
        observation_weight, prior_weight: lambda_1 (one for all sources, or one for each) and
            lambda_2, positive. They are kept as exponentials, so that learning leaves them
            positive.
        learn_weights: whether the weights are trained.
        operator: H, a layer from [batch, time, component] to [batch, time, observed], which may
            say by an attribute `sources` how many of the observed belong to each source. None:
            the state itself is observed.

    Call arguments:
        state: x, [batch, time, component].
        observations: y, [batch, time, observed], in the units of H(x), 0 where not observed.
        mask: Omega, same shape: 0 where not observed, else 1, or the inverse of the variance of
            the noise, in any unit.

    Returns:
        The cost, [batch], in squared units of the state.
    """

    def __init__(
        self,
        prior: keras.layers.Layer,
        observation_weight: float | Sequence[float] = 1.0,
        prior_weight: float = 1.0,
        learn_weights: bool = True,
        operator: keras.layers.Layer | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not (np.all(np.array(observation_weight) > 0) and prior_weight > 0):
            raise ValueError(
                f"Received observation_weight={observation_weight} and "
                f"prior_weight={prior_weight}; expected positive numbers."
            )
        self.prior = prior
        self.observation_weight = np.array(observation_weight, float).tolist()
        self.prior_weight = float(prior_weight)
        self.learn_weights = learn_weights
        self.operator = operator

    def build(self, state_shape, *_):
        """Build the prior and the operator, and create the weights."""
        build_once(self.prior, state_shape)
        if self.operator is not None:
            build_once(self.operator, state_shape)
        sources = len(getattr(self.operator, "sources", (1,)))
        weights = [*np.broadcast_to(self.observation_weight, sources), self.prior_weight]
        self.log_weights = self.add_weight(
            shape=(len(weights),),
            initializer=keras.initializers.Constant(np.log(weights)),
            trainable=self.learn_weights,
            name="log_weights",
        )

    def call(self, state, observations, mask):
        """The weighted terms of every window."""
        seen = state if self.operator is None else self.operator(state)
        sources = misfits(self.operator, seen, observations, mask)
        return self._sum(sources, state - tf.cast(self.prior(state), state.dtype))

    def value_and_gradient(self, state, observations, mask):
        """The cost, [batch], and its gradient in the state, by the pull-backs of prior and H.

        grad U = 2 observation_weight / |Omega| (d H / d x)^T mask (H(x) - y)
               + 2 prior_weight / n (r - (d Phi / d x)^T r),    r = x - Phi(x)
        """
        prediction, pull_back = linearise(self.prior, state)
        residual = state - prediction
        seen, pull_back_seen = (
            (state, None) if self.operator is None else linearise(self.operator, state)
        )
        sources = misfits(self.operator, seen, observations, mask)
        *weights, prior_weight = self._weights(len(sources))
        parts = [
            tf.math.divide_no_nan(2 * weight, source.total)[:, tf.newaxis, tf.newaxis]
            * source.weighted
            for weight, source in zip(weights, sources, strict=True)
        ]
        towards_observations = parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)
        if pull_back_seen is not None:
            towards_observations = pull_back_seen(towards_observations)
        towards_prior = 2 * prior_weight / tf.cast(tf.size(state[0]), prior_weight.dtype)
        gradient = towards_observations + towards_prior * (residual - pull_back(residual))
        return self._sum(sources, residual), gradient

    def _sum(self, sources, residual):
        *weights, prior_weight = self._weights(len(sources))
        terms = [weight * each.mean_square() for weight, each in zip(weights, sources, strict=True)]
        terms.append(prior_weight * tf.reduce_mean(tf.square(residual), axis=(1, 2)))
        return sum(terms[1:], terms[0])

    def _weights(self, sources):
        weights = tf.exp(tf.convert_to_tensor(self.log_weights))
        return [weights[i] for i in range(sources + 1)]

    def get_config(self):
        """The prior and the operator, the initial weights, and whether they learn."""
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "observation_weight": self.observation_weight,
            "prior_weight": self.prior_weight,
            "learn_weights": self.learn_weights,
            "operator": keras.saving.serialize_keras_object(self.operator),
        }

    @classmethod
    def from_config(cls, config):
        """Rebuild the prior and the operator, then the cost."""
        return cls(**held_layers(config, "prior", "operator"))
