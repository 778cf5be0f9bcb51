"""The gradient of the variational cost."""

import keras
import tensorflow as tf

from tf4dvar.layers.adjoint import with_adjoint
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.cost import by_source
from tf4dvar.layers.precise_layer import PreciseLayer
from tf4dvar.layers.several_priors import with_covariates
from tf4dvar.layers.windows import at_sea, entries, window_sum


@keras.saving.register_keras_serializable(package="tf4dvar")
class CostGradient(PreciseLayer):
    """grad_x U_Phi(x, y, Omega) (Section 3.1).

        grad U = 2 observation_weight / |Omega| (d H / d x)^T mask (H(x) - y)
               + 2 prior_weight / n (r - (d Phi / d x)^T r),    r = x - Phi(x)

    Several priors have such a term each. H and Phi come with their adjoints, by `tf.GradientTape`
    or their own; see `tf4dvar.layers.adjoint`. The gradient is differentiable itself: training the
    solver takes second derivatives of the cost.

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
        linearised = [
            with_adjoint(prior, state, *given)
            for prior, given in with_covariates(self.cost.priors, covariates)
        ]
        simulated, operator_adjoint = state, tf.identity
        if self.cost.operator is not None:
            simulated, operator_adjoint = with_adjoint(self.cost.operator, state)
        departure = simulated - observations
        residuals = [at_sea(state - prediction, sea) for prediction, _ in linearised]
        weights, sources = self.cost.current_weights(), self.cost.sources
        gradient = operator_adjoint(
            _mean_square_gradient(departure, mask, sources, weights[: len(sources)])
        )
        count = entries(state, sea, keepdims=True)
        for weight, residual, (_, adjoint) in zip(
            weights[len(sources) :], residuals, linearised, strict=True
        ):
            towards_prior = 2 * weight / tf.cast(count, weight.dtype)
            gradient += towards_prior * (residual - adjoint(residual))
        return at_sea(gradient, sea), self.cost.value(departure, residuals, mask, sea)


def _mean_square_gradient(departure, mask, sources, weights):
    """Of the weighted means of the squared departures of every source, in the departure."""
    parts = [
        tf.math.divide_no_nan(2 * weight, window_sum(among, keepdims=True)) * part
        for weight, among, part in zip(
            weights, by_source(mask, sources), by_source(mask * departure, sources), strict=True
        )
    ]
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)
