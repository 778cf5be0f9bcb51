"""The gradient of the variational cost."""

import keras
import tensorflow as tf

from tf4dvar.layers.adjoint import with_adjoint
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.cost import by_source
from tf4dvar.layers.precise_layer import PreciseLayer
from tf4dvar.layers.windows import at_sea, entries, window_sum


@keras.saving.register_keras_serializable(package="tf4dvar")
class CostGradient(PreciseLayer):
    """grad_x U_Phi(x, y, Omega) (Section 3.1).

        grad U = 2 observation_weight / |Omega| (d H / d x)^T mask (H(x) - y)
               + 2 prior_weight / n (r - (d Phi / d x)^T r),    r = x - Phi(x)

    H and Phi come with their adjoints, by `tf.GradientTape` or their own; see
    `tf4dvar.layers.adjoint`. The gradient is differentiable itself: training the solver takes
    second derivatives of the cost.

    Args:
        cost: a `VariationalCost`.

    Call arguments:
        state, observations, mask, covariates, sea: as for the cost; the gradient is 0 on land.

    Returns:
        The gradient in the state, same shape, and the cost, [batch].
    """

    def __init__(self, cost: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.cost = cost

    def build(self, state_shape, *_):
        """Build the cost."""
        build_once(self.cost, state_shape)

    def call(self, state, observations, mask, covariates=None, sea=None):
        """The gradient and the cost of every window."""
        state = at_sea(state, sea)
        given = () if covariates is None else (covariates,)
        prediction, prior_adjoint = with_adjoint(self.cost.prior, state, *given)
        simulated, operator_adjoint = state, tf.identity
        if self.cost.operator is not None:
            simulated, operator_adjoint = with_adjoint(self.cost.operator, state)
        departure, residual = simulated - observations, at_sea(state - prediction, sea)
        *observation_weights, prior_weight = self.cost.current_weights()
        towards_observations = operator_adjoint(
            _mean_square_gradient(departure, mask, self.cost.sources, observation_weights)
        )
        count = entries(state, sea, keepdims=True)
        towards_prior = 2 * prior_weight / tf.cast(count, prior_weight.dtype)
        gradient = towards_observations + towards_prior * (residual - prior_adjoint(residual))
        return at_sea(gradient, sea), self.cost.value(departure, residual, mask, sea)


def _mean_square_gradient(departure, mask, sources, weights):
    """Of the weighted means of the squared departures of every source, in the departure."""
    parts = [
        tf.math.divide_no_nan(2 * weight, window_sum(among, keepdims=True)) * part
        for weight, among, part in zip(
            weights, by_source(mask, sources), by_source(mask * departure, sources), strict=True
        )
    ]
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)
