"""The solver that looks for a trajectory of known dynamics."""

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.checks import build_once, check_series
from tf4dvar.layers.contracts import FirstGuess, seen_by, trait
from tf4dvar.layers.iterations import Iterates, Solver
from tf4dvar.layers.kernels.multiple_shooting import Problem, step
from tf4dvar.layers.kernels.segments import check_segment
from tf4dvar.layers.normalisation import NormalisedPrior
from tf4dvar.layers.priors.flow import OneStepFlow
from tf4dvar.layers.solver_data import known_of

# Logarithms of weights are no larger; they tell entries apart by their deviations up to 1e5 times.
LARGEST_LOG_WEIGHT = 12.0
# Inverse of the variance of jumps between trajectories, at first, in those of the states.
FIRST_TIE = 3000.0


@keras.saving.register_keras_serializable(package="tf4dvar")
class TrajectorySolver(Solver):
    """Gamma: Gauss-Newton steps towards the trajectory that fits observations and first guess.

    Strong-constraint 4D-Var whose background is the first guess x0 at all times, with weights w
    that a network learned:

        min_x  lambda_1 |y - H(x)|^2_R + |x - x0|^2_w,  x_{t+1} = Phi(x_t)

    A step is one of multiple shooting (Bock and Plitt 1984) with the first state as the only
    unknown (condensed, as in Albersmeyer and Diehl 2010): all times are linearised where they are,
    so that a good first guess is as good a beginning in the middle of a window as at its ends, and
    two steps are near the minimum. The state is x0 + g (x - x0), with shares g that the network
    learned, too: a mean of trajectories is none, and where none is near a window stays what it is.

    That is for windows of a few Lyapunov times. Longer ones are cut into segments, each a
    trajectory with a first state x_s of its own, and jumps between them cost p, which is learned:

        ... + p sum_s |x_{s+1} - Phi^L(x_s)|^2

    This is weak-constraint 4D-Var with a model error once a segment of L times. Its equations
    are block tridiagonal, and their price grows with the number of segments, and with the third
    power of that of components.

    No entry is brought further than a deviation from its first guess. In training what the
    iterations change counts as a constant to the first guess, which learns what remains, and
    nothing is learned of the flow.

    Args:
        network: of whole windows, a layer of the contract `FirstGuess` that takes a background,
            with two outputs, the logarithm of w, and of g / (1 - g). It sees departures, how well
            was observed, and x0.
        iterations: K; with 0 the state is the first guess.
        segment: L, best so short that errors grow by a few times in it; by default the whole
            window.

    Call arguments:
        first_guess: x0, [batch, time, component].
        observations, mask, covariates, sea: as for the cost; of series, so that there is no sea.
        cost_gradient: a `CostGradient`, by its name, of whose cost the first flow is taken, the
            operator and lambda_1.

    Returns:
        The state after K iterations, same shape.

    Usage:

        network = AttentionFirstGuess(
            20, width=32, depth=2, weighted=True, background=True, outputs=2
        )
        model = FourDVarNet(
            RK4Flow(Lorenz63ODE(trainable=False), 0.01),
            TrajectorySolver(network),
            first_guess=AttentionFirstGuess(weighted=True),
            noise_variance=2.0,
        )
    """

    of_trajectories = True

    def __init__(
        self,
        network: keras.layers.Layer,
        iterations: int = 2,
        segment: int | None = None,
        **kwargs,
    ):
        super().__init__(iterations, **kwargs)
        if segment is not None:
            check_segment(segment)
        background, outputs = (
            trait(network, FirstGuess, name) for name in ("background", "outputs")
        )
        if not background or outputs != 2:
            raise InputError(
                f"Received a network with background={background} and outputs={outputs}; expected "
                "one that takes the first guess as its background, with two outputs, for example "
                "AttentionFirstGuess(background=True, outputs=2)."
            )
        self.network = network
        self.segment = segment
        # XLA makes the gradient of a loop many times slower.
        self.supports_jit = False

    def build(self, first_guess_shape, observations_shape=None, *_):
        """Build the network; K becomes a weight."""
        check_series(self, first_guess_shape)

        def first_call(values):
            state = tf.repeat(values[..., :1], first_guess_shape[-1], axis=-1)
            return self.network(values, values, state)

        build_once(self.network, observations_shape or first_guess_shape, call=first_call)
        super().build(first_guess_shape)
        if self.segment is not None:
            self.log_tie = self.add_weight(
                shape=(), initializer=keras.initializers.Constant(np.log(FIRST_TIE)), name="log_tie"
            )

    def call(
        self,
        first_guess,
        observations,
        mask,
        covariates=None,
        sea=None,
        *,
        cost_gradient,
        training=None,
    ):
        """Iterate K times."""
        build_once(cost_gradient, first_guess.shape)
        problem = self._problem(first_guess, observations, mask, covariates, cost_gradient.cost)
        _, state = tf.while_loop(
            lambda k, _: k < self._iterations,
            # The gradient goes through the least squares of the last step, not to where it began:
            # of the minimum itself that is all, to first order.
            lambda k, state: (k + 1, step(problem, tf.stop_gradient(state))),
            (0, problem.states),
        )
        return first_guess + _change(problem, state)

    def iterates(
        self,
        first_guess,
        observations,
        mask,
        cost_gradient,
        iterations=None,
        every_state=True,
        covariates=None,
        sea=None,
    ):
        """The state and the cost at every iteration, not to be trained through.

        Args:
            first_guess, observations, mask, cost_gradient, covariates, sea: as for the call.
            iterations: another K for this call, an integer or a scalar tensor.
            every_state: keep the states of all iterations, else the last alone.

        Returns:
            `Iterates`.
        """
        cost, known = cost_gradient.cost, known_of(covariates, sea)
        problem = self._problem(first_guess, observations, mask, covariates, cost)
        iterations = tf.convert_to_tensor(self._iterations if iterations is None else iterations)

        def written(k, state, costs, states):
            state = problem.states + _change(problem, state)
            value = cost(state, observations, mask, **known)
            return costs.write(k, value), [each.write(k, state) for each in states]

        def iterate(k, state, costs, states):
            state = step(problem, state)
            return k + 1, state, *written(k, state, costs, states)

        size = iterations + 1
        costs = tf.TensorArray(first_guess.dtype, size, element_shape=first_guess.shape[:1])
        states = tf.TensorArray(first_guess.dtype, size, element_shape=first_guess.shape)
        begun = written(0, first_guess, costs, [states] if every_state else [])
        _, state, costs, states = tf.while_loop(
            lambda k, *_: k <= iterations, iterate, (1, first_guess, *begun)
        )
        if every_state:
            return Iterates(states[0].stack(), costs.stack())
        return Iterates((problem.states + _change(problem, state))[tf.newaxis], costs.stack())

    def _problem(self, first_guess, observations, mask, covariates, cost):
        first_guess = tf.stop_gradient(first_guess)
        priors = [each for each in cost.priors if isinstance(each, NormalisedPrior)]
        flow = next(each for each in priors if isinstance(each.prior, OneStepFlow))
        simulated = first_guess if cost.operator is None else cost.operator(first_guess)
        departures = tf.where(mask > 0, observations - simulated, tf.zeros_like(observations))
        given = self.network(departures, seen_by(self.network, mask), first_guess)
        given = tf.cast(given, first_guess.dtype)
        given = tf.reshape(given, tf.concat([tf.shape(first_guess), [2]], axis=0))
        logs, shares = (tf.squeeze(each, axis=-1) for each in tf.split(given, 2, axis=-1))
        logs = tf.clip_by_value(logs, -LARGEST_LOG_WEIGHT, LARGEST_LOG_WEIGHT)
        return Problem(
            first_guess,
            tf.exp(logs),
            tf.sigmoid(shares),
            observations,
            mask * _first_weights(cost),
            tf.shape(first_guess)[1] if self.segment is None else self.segment,
            0.0 if self.segment is None else tf.exp(self.log_tie),
            flow,
            cost.operator,
            [covariates] if flow.covariates else [],
        )


def _first_weights(cost):
    """lambda_1 of what each of the observed belongs to."""
    weights = cost.current_weights()[: len(cost.sources)]
    return tf.concat(
        [tf.fill([of], weight) for of, weight in zip(cost.sources, weights, strict=True)], axis=0
    )


def _change(problem, found):
    """Of the first guess, on the way to a trajectory."""
    return problem.shares * (found - problem.states)
