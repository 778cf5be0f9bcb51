"""The gradient of the variational cost."""

import keras

from tf4dvar.layers.checks import build_once, held_layers
from tf4dvar.layers.precise_layer import PreciseLayer


@keras.saving.register_keras_serializable(package="tf4dvar")
class CostGradient(PreciseLayer):
    """grad_x U_Phi(x, y, Omega) (Section 3.1).

    The prior's part is automatic differentiation by `tf.GradientTape`, or the prior's own
    pull-back where it has one, see `linearise`. The gradient is differentiable itself: training
    the solver takes second derivatives of the cost.

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
        """The gradient and the cost of every window."""
        cost, gradient = self.cost.value_and_gradient(state, observations, mask)
        return gradient, cost

    def get_config(self):
        """The cost."""
        return {**super().get_config(), "cost": keras.saving.serialize_keras_object(self.cost)}

    @classmethod
    def from_config(cls, config):
        """Rebuild the cost, then its gradient."""
        return cls(**held_layers(config, "cost"))
