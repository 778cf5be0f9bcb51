"""The variational cost."""

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.checks import build_once
from tf4dvar.layers.pull_back import linearise


@keras.saving.register_keras_serializable(package="tf4dvar")
class VariationalCost(keras.layers.Layer):
    """U_Phi(x, y, Omega), one number a window (eq. 4, its terms averaged).

        U = observation_weight * mean over Omega of (x - y)^2
          + prior_weight * mean over all entries of (x - Phi(x))^2

    A window without observations has the second term alone.

    Args:
        prior: Phi, a layer from [batch, time, component] to the same shape.
        observation_weight, prior_weight: lambda_1 and lambda_2, positive. They are kept as
            exponentials, so that learning leaves them positive.
        learn_weights: whether the two weights are trained.

    Call arguments:
        state: x, [batch, time, component].
        observations: y, same shape and units, 0 where not observed.
        mask: Omega, same shape, 1 where observed, else 0.

    Returns:
        The cost, [batch], in squared units of the state.
    """

    def __init__(
        self,
        prior: keras.layers.Layer,
        observation_weight: float = 1.0,
        prior_weight: float = 1.0,
        learn_weights: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not (observation_weight > 0 and prior_weight > 0):
            raise ValueError(
                f"Received observation_weight={observation_weight} and "
                f"prior_weight={prior_weight}; expected positive numbers."
            )
        self.prior = prior
        self.initial_weights = (float(observation_weight), float(prior_weight))
        self.learn_weights = learn_weights

    def build(self, state_shape, *_):
        """Build the prior and create the two weights."""
        build_once(self.prior, state_shape)
        self.log_weights = self.add_weight(
            shape=(2,),
            initializer=keras.initializers.Constant(np.log(self.initial_weights)),
            trainable=self.learn_weights,
            name="log_weights",
        )

    def call(self, state, observations, mask):
        """The two weighted terms of every window."""
        misfit, observed = self._misfit(state, observations, mask)
        residual = self._precise(state - self.prior(state))
        return self._sum(misfit, observed, residual)

    def value_and_gradient(self, state, observations, mask):
        """The cost, [batch], and its gradient in the state, by the prior's pull-back.

        grad U = 2 observation_weight / |Omega| mask (x - y)
               + 2 prior_weight / n (r - (d Phi / d x)^T r),    r = x - Phi(x)
        """
        prediction, pull_back = linearise(self.prior, state)
        residual = state - prediction
        misfit, observed = self._misfit(state, observations, mask)
        weights = self._weights()
        towards_observations = tf.math.divide_no_nan(2 * weights[0], observed)
        towards_prior = 2 * weights[1] / tf.cast(tf.size(state[0]), weights.dtype)
        gradient = towards_observations[
            :, tf.newaxis, tf.newaxis
        ] * misfit + towards_prior * self._precise(residual - pull_back(residual))
        cost = self._sum(misfit, observed, self._precise(residual))
        return cost, tf.cast(gradient, state.dtype)

    def _misfit(self, state, observations, mask):
        """mask (x - y), and the number of observations of each window."""
        mask = self._precise(mask)
        misfit = self._precise(state - observations) * mask
        return misfit, tf.reduce_sum(mask, axis=(1, 2))

    def _sum(self, misfit, observed, residual):
        weights = self._weights()
        observation_term = tf.math.divide_no_nan(
            tf.reduce_sum(tf.square(misfit), axis=(1, 2)), observed
        )
        return weights[0] * observation_term + weights[1] * tf.reduce_mean(
            tf.square(residual), axis=(1, 2)
        )

    def _weights(self):
        return tf.exp(self._precise(tf.convert_to_tensor(self.log_weights)))

    def _precise(self, tensor):
        """At least float32: a sum of thousands of squares is too much for bfloat16's eight bits."""
        return tf.cast(tensor, tf.float64 if tensor.dtype == tf.float64 else tf.float32)

    def get_config(self):
        """The prior, the two initial weights, and whether they learn."""
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "observation_weight": self.initial_weights[0],
            "prior_weight": self.initial_weights[1],
            "learn_weights": self.learn_weights,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuild the prior, then the cost."""
        config = dict(config)
        config["prior"] = keras.saving.deserialize_keras_object(config["prior"])
        return cls(**config)
