"""Weak-constraint 4DVar by L-BFGS, for any prior."""

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from tf4dvar.classical.analysis import Analysis, Progress, in_chunks
from tf4dvar.classical.covariance import Gaussian
from tf4dvar.classical.first_guess import first_guess
from tf4dvar.classical.tangent_linear import check_double
from tf4dvar.classical.weak_cost import CostWeights, background_terms
from tf4dvar.layers.checks import build_once

ITERATIONS = 20_000


def weak_lbfgs(
    observations: np.ndarray,
    prior: keras.layers.Layer,
    weights: CostWeights,
    background: Gaussian | None = None,
    start: np.ndarray | None = None,
    tolerance: float = 1e-9,
    progress: Progress | None = None,
) -> Analysis:
    """Minimise the weak-constraint cost (eq. 4) by SciPy's L-BFGS-B, window by window.

        sum_t (x_t - y_t)^T R^-1 (x_t - y_t) + sum_t (x - Phi(x))_t^T Q^-1 (x - Phi(x))_t
        [+ (x_0 - m)^T B^-1 (x_0 - m)]

    For a one-step-ahead model it is the cost of `weak_gauss_newton`.

    Args:
        observations: [window, time, component], NaN = not observed; in the prior's units.
        prior: Phi, any layer of dtype float64, a GENN too.
        weights, background, start, progress: as for `weak_gauss_newton`.
        tolerance: relative decrease of the cost by one step at which a window has converged.
    """
    check_double(prior)
    shape = observations.shape[1:]
    build_once(prior, (None, *shape))
    observed = ~np.isnan(observations)
    values = np.where(observed, observations, 0.0)
    start = first_guess(observations) if start is None else start
    model_precision = tf.constant(weights.model_precision(*shape))
    mean, background_precision = map(tf.constant, background_terms(background, shape[-1]))

    @tf.function(jit_compile=True)
    def cost_and_gradient(state, values, precision):
        with tf.GradientTape() as tape:
            tape.watch(state)
            misfit, residual = state - values, state - prior(state[None])[0]
            departure = state[0] - mean
            cost = (
                tf.reduce_sum(misfit * tf.linalg.matvec(precision, misfit))
                + tf.reduce_sum(residual * tf.matmul(residual, model_precision))
                + tf.reduce_sum(departure * tf.linalg.matvec(background_precision, departure))
            )
        return cost, tape.gradient(cost, state)

    def analyse(windows: slice) -> Analysis:
        precisions = weights.observation_precision(observed[windows])
        results = []
        for first, value, precision in zip(
            start[windows], values[windows], precisions, strict=True
        ):

            def function(state, value=value, precision=precision, scale=1.0):
                cost, gradient = cost_and_gradient(state.reshape(shape), value, precision)
                return scale * float(cost), scale * gradient.numpy().ravel()

            results.append(
                minimize(
                    function,
                    first.ravel(),
                    method="L-BFGS-B",
                    jac=True,
                    options={
                        "maxiter": ITERATIONS,
                        "maxfun": 2 * ITERATIONS,
                        "ftol": tolerance,
                        "gtol": 0.0,
                    },
                )
            )
        return Analysis(
            np.stack([result.x.reshape(shape) for result in results]),
            np.array([result.fun for result in results]),
            np.array([result.nit for result in results]),
            np.array([result.success for result in results]),
        )

    return in_chunks(analyse, observations, 1, progress)
