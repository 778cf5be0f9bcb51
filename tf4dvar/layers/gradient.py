"""The gradient of the variational cost."""

import keras
import tensorflow as tf

from tf4dvar.layers.adjoint import with_adjoint
from tf4dvar.layers.checks import build_once, held_layers
from tf4dvar.layers.precise_layer import PreciseLayer


@keras.saving.register_keras_serializable(package="tf4dvar")
class CostGradient(PreciseLayer):
    """grad_x U_Phi(x, y, Omega) (Section 3.1).

    H and Phi come with their adjoints, by `tf.GradientTape` or their own; see
    `tf4dvar.layers.adjoint`. Of the cost, which is a function of H(x) and of r = x - Phi(x), the
    tape knows the derivatives:

        grad_x U = (d H / d x)^T dU/dH + dU/dr - (d Phi / d x)^T dU/dr

    The gradient is differentiable itself: training the solver takes second derivatives of the
    cost.

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
        prediction, prior_adjoint = with_adjoint(self.cost.prior, state)
        simulated, operator_adjoint = state, tf.identity
        if self.cost.operator is not None:
            simulated, operator_adjoint = with_adjoint(self.cost.operator, state)
        residual = state - prediction
        with tf.GradientTape() as tape:
            tape.watch((simulated, residual))
            cost = self.cost.value(simulated, residual, observations, mask)
        to_simulated, to_residual = tape.gradient(cost, (simulated, residual))
        return operator_adjoint(to_simulated) + to_residual - prior_adjoint(to_residual), cost

    def get_config(self):
        """The cost."""
        return {**super().get_config(), "cost": keras.saving.serialize_keras_object(self.cost)}

    @classmethod
    def from_config(cls, config):
        """Rebuild the cost, then its gradient."""
        return cls(**held_layers(config, "cost"))
