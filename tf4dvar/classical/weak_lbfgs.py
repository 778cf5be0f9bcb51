"""Weak-constraint 4DVar by L-BFGS, for any prior."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from tf4dvar.classical.analysis import Analysis, in_chunks
from tf4dvar.classical.first_guess import first_guess
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.tangent_linear import check_double
from tf4dvar.classical.weak_cost import Terms
from tf4dvar.classical.weighted_method import WeightedMethod

ITERATIONS = 20_000
# Relative decrease of the cost by one step at which a window has converged.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class WeakLBFGS(WeightedMethod):
    """Weak-constraint 4DVar by L-BFGS.

    It takes any prior of dtype float64, a GENN too, in the prior's units, and goes window by
    window. For a one-step-ahead model the costs are those of `weak-gauss-newton`.
    """

    name = "weak-lbfgs"

    def solve(self, problem, progress):
        """See `Method.analyse`."""
        _, *shape = problem.shape
        evaluate = _cost_and_gradient(problem, self.terms(problem.part(slice(1))))

        def analyse(part: Problem) -> Analysis:
            known = () if part.covariates is None else (part.covariates,)
            given = part.values[0], self.terms(part).observation[0], *known

            def function(state):
                cost, gradient = evaluate(state.reshape(shape), *given)
                return float(cost), gradient.numpy().ravel()

            result = minimize(
                function,
                first_guess(part).ravel(),
                method="L-BFGS-B",
                jac=True,
                options={
                    "maxiter": ITERATIONS,
                    "maxfun": 2 * ITERATIONS,
                    "ftol": TOLERANCE,
                    "gtol": 0.0,
                },
            )
            return Analysis(
                result.x.reshape(1, *shape),
                np.array([result.fun]),
                np.array([result.nit]),
                np.array([result.success]),
            )

        return in_chunks(analyse, problem, 1, progress)


def _cost_and_gradient(problem: Problem, terms: Terms) -> Callable:
    """The cost of one window for any prior Phi, and its gradient, by the tape.

    sum_t (H(x) - y)_t^T R^-1 (H(x) - y)_t + sum_t (x - Phi(x))_t^T Q^-1 (x - Phi(x))_t
    [+ (x_0 - m)^T B^-1 (x_0 - m)]
    """
    import tensorflow as tf

    from tf4dvar.layers.checks import build_once

    prior, operator = problem.flow, problem.operator.layer()
    check_double(prior)
    for layer in (prior, operator):
        if layer is not None:
            build_once(layer, (None, *problem.shape[1:]))

    model, mean, background = (tf.constant(term) for term in terms[1:])

    @tf.function(jit_compile=True)
    def cost_and_gradient(state, values, precision, *covariates):
        with tf.GradientTape() as tape:
            tape.watch(state)
            misfit = (state if operator is None else operator(state[None])[0]) - values
            residual = state - prior(state[None], *covariates)[0]
            departure = state[0] - mean
            cost = (
                tf.reduce_sum(misfit * tf.linalg.matvec(precision, misfit))
                + tf.reduce_sum(residual * tf.matmul(residual, model))
                + tf.reduce_sum(departure * tf.linalg.matvec(background, departure))
            )
        return cost, tape.gradient(cost, state)

    return cost_and_gradient
