"""The gradient of the variational cost."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once


@keras.saving.register_keras_serializable(package="tf4dvar")
class CostGradient(keras.layers.Layer):
    """grad_x U_Phi(x, y, Omega) by automatic differentiation (Section 3.1).

    It is differentiable itself: training the solver takes second derivatives of the cost.

    Args:
        cost: a `VariationalCost`.

    Call arguments:
        state, observations, mask: as for the cost.

    Returns:
        The gradient in the state, same shape, and the cost, [batch].
    """

    def __init__(self, cost: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.cost = cost

    def build(self, state_shape, *_):
        """Build the cost."""
        build_once(self.cost, state_shape)

    def call(self, state, observations, mask):
        """Differentiate the cost of every window in its own state."""
        with tf.GradientTape() as tape:
            tape.watch(state)
            cost = self.cost(state, observations, mask)
        # No window's cost depends on another's state: the gradient of their sum is each's own.
        return tape.gradient(cost, state), cost

    def get_config(self):
        """The cost."""
        return {**super().get_config(), "cost": keras.saving.serialize_keras_object(self.cost)}

    @classmethod
    def from_config(cls, config):
        """Rebuild the cost, then its gradient."""
        config = dict(config)
        config["cost"] = keras.saving.deserialize_keras_object(config["cost"])
        return cls(**config)
