"""The solver that iterates gradient and update."""

from functools import partial
from itertools import pairwise
from operator import itemgetter

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import Update
from tf4dvar.layers.held_state import HeldState
from tf4dvar.layers.iterations import Iterates, Solver
from tf4dvar.layers.recompute import recomputed_loop
from tf4dvar.layers.solver_data import known_of, of_any_batch
from tf4dvar.layers.windows import at_sea, over_root, window_mean, window_sum


@keras.saving.register_keras_serializable(package="tf4dvar")
class GradientSolver(Solver):
    """Gamma: K iterations of a gradient-based solver (Algorithm of Section 3.1).

        increment, memory = update(gradient of the cost at x / its norm, memory)
        x = x - increment

    The norm is the root mean square of the window's first gradient: it gives the update numbers
    of order one and leaves the windows of a batch independent. A state is NaN from where its
    gradient overflows. It knows nothing of the cost but its gradient, which is given to the call.

    Args:
        update: an `Update`. It works on whole windows; Keras' own cells, which work on single
            times, are none.
        iterations: K. It can be changed at any time by setting the attribute, with no new
            trace; with `unroll`, only before the first call.
        unroll: write the iterations out instead of looping. XLA and GPUs need it; on a CPU it
            costs compile time and memory.
        normalise: divide by the norm; without it, `FixedStepCell` is plain descent.
        recompute: train in a memory that hardly grows with K, by computing every iteration
            once more in the backward pass; see `recomputed_loop`. Not with `unroll`.
        micro_batches: parts of the batch that are solved side by side. On two cores, with one
            thread within operations (`tf.config.threading.set_intra_op_parallelism_threads(1)`),
            two of a large batch are faster than two threads in every operation.

    Call arguments:
        first_guess: x0, [batch, time, component].
        observations, mask, covariates, sea: as for the cost.
        cost_gradient: a `CostGradient`, by its name: Keras takes tensors alone without.

    Returns:
        The state after K iterations, same shape; 0 on land.

    Usage:

        gradient = CostGradient(VariationalCost(GENN()))
        solver = GradientSolver(LSTMCell(), iterations=10)
        nothing = tf.zeros((8, 50, 3))
        state = solver(nothing, nothing, nothing, cost_gradient=gradient)
    """

    def __init__(
        self,
        update: keras.layers.Layer,
        iterations: int = 10,
        unroll: bool = False,
        normalise: bool = True,
        recompute: bool = False,
        micro_batches: int = 1,
        **kwargs,
    ):
        super().__init__(iterations, **kwargs)
        if unroll and (recompute or micro_batches != 1):
            raise ValueError(
                f"Received unroll=True, recompute={recompute} and micro_batches={micro_batches}; "
                "both of the latter are for loops, expected unroll=False."
            )
        if int(micro_batches) != micro_batches or micro_batches < 1:
            raise ValueError(
                f"Received micro_batches={micro_batches}; expected an integer of 1 or more."
            )
        _check_update(update)
        self.update = update
        self.unroll = unroll
        self.normalise = normalise
        self.recompute = recompute
        self.micro_batches = int(micro_batches)
        # XLA does not compile the gradient of a loop of any length, or makes it many times slower.
        self.supports_jit = unroll

    @property
    def method(self) -> str:
        """The update's class."""
        return type(self.update).__name__

    def check_change(self, iterations):
        """Refuse another K, if the iterations are written out."""
        if self.unroll:
            raise ValueError(
                f"Received iterations={iterations} for an unrolled solver that is already built "
                f"with {self.iterations}; build it with unroll=False, or anew."
            )

    def build(self, first_guess_shape, observations_shape=None, *_):
        """Build the update; K becomes a weight."""
        build_once(self.update, first_guess_shape, call=self._first_update)
        super().build(first_guess_shape)

    def for_inference(self, unroll=False):
        """Without what saves memory or time in training; see `Solver.for_inference`."""
        settings = {"unroll": unroll, "recompute": False, "micro_batches": 1}
        return {**self.get_config(), **settings}

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
        first_guess = of_any_batch(at_sea(first_guess, sea))
        data = observations, mask, known_of(covariates, sea)
        data = tf.nest.map_structure(of_any_batch, data)
        held = HeldState(self, cost_gradient)

        def solve(first_guess, data):
            given = {"data": data, "cost_gradient": cost_gradient, "training": training}
            return self._solve(first_guess, partial(self._iterate, **given), held)

        if self.micro_batches == 1:
            solved = solve(first_guess, data)
        else:
            windows = tf.shape(first_guess)[0]
            ends = [windows * part // self.micro_batches for part in range(self.micro_batches + 1)]
            parts = [
                solve(*tf.nest.map_structure(itemgetter(slice(start, end)), (first_guess, data)))
                for start, end in pairwise(ends)
            ]
            solved = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *parts)
        state, scale, memory = solved
        if held.needs_a_call:
            self._iterate(self._iterations, state, scale, memory, data, cost_gradient, training)
        return state

    def _solve(self, first_guess, iterate_once, held):
        # A part without windows is left as it is: not every operation takes an empty one.
        iterations = self._iterations * tf.cast(tf.shape(first_guess)[0] > 0, tf.int32)

        def iterate(k, *variables):
            with held.calls():
                return iterate_once(k, *variables)[:3]

        variables = (first_guess, *self._start(first_guess))
        if self.recompute:
            variables = recomputed_loop(iterate, variables, iterations)
        elif self.unroll:
            for k in range(self._initial_iterations):
                variables = iterate(k, *variables)
        else:
            _, *variables = tf.while_loop(
                lambda k, *_: k < iterations,
                lambda k, *variables: (k + 1, *iterate(k, *variables)),
                (0, *variables),
            )
        return tuple(variables)

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
            every_state: keep the states of all iterations; else the last alone, in a memory
                that does not grow with them.

        Returns:
            `Iterates`.
        """
        iterations = self._iterations if iterations is None else iterations
        iterations = tf.convert_to_tensor(iterations)
        known, first_guess = known_of(covariates, sea), at_sea(first_guess, sea)
        data = observations, mask, known
        held = HeldState(self, cost_gradient)

        def iterate(k, state, scale, memory, costs, *states):
            states = tuple(array.write(k, state) for array in states)
            with held.calls():
                state, scale, memory, cost = self._iterate(
                    k, state, scale, memory, data, cost_gradient, training=False
                )
            return k + 1, state, scale, memory, costs.write(k, cost), *states

        size = iterations + 1
        costs = tf.TensorArray(self._cost_dtype(), size, element_shape=first_guess.shape[:1])
        states = tf.TensorArray(first_guess.dtype, size, element_shape=first_guess.shape)
        _, state, _, _, costs, *states = tf.while_loop(
            lambda k, *_: k < iterations,
            iterate,
            (0, first_guess, *self._start(first_guess), costs, *([states] if every_state else [])),
        )
        costs = costs.write(
            iterations, cost_gradient.cost(state, observations, mask, **known)
        ).stack()
        if not every_state:
            return Iterates(state[tf.newaxis], costs)
        return Iterates(states[0].write(iterations, state).stack(), costs)

    def _first_update(self, gradient):
        return self.update(gradient, self.update.initial(gradient))

    def _start(self, first_guess):
        scale = tf.ones_like(window_sum(first_guess, keepdims=True))
        return scale, self.update.initial(first_guess)

    def _iterate(self, k, state, scale, memory, data, cost_gradient, training):
        # `training` is said at every call: on the way back no outer call says it.
        observations, mask, known = data
        sea = known.get("sea")
        gradient, cost = cost_gradient(state, observations, mask, **known, training=training)
        if self.normalise:
            mean_square = window_mean(tf.square(gradient), keepdims=True, sea=sea)
            first = tf.where(tf.math.is_finite(mean_square), over_root(mean_square), np.nan)
            scale = tf.where(tf.equal(k, 0), first, scale)
        gradient *= scale
        increment, new_memory = self.update(gradient, memory, training=training)
        # The update may compute in half precision.
        increment = at_sea(tf.cast(increment, state.dtype), sea)
        memory = tf.nest.map_structure(lambda new, old: tf.cast(new, old.dtype), new_memory, memory)
        # An overflow could pass for a large gradient in an update that saturates.
        state = tf.where(tf.math.is_finite(gradient), state - increment, np.nan)
        return state, scale, memory, cost

    def _cost_dtype(self):
        return tf.float64 if self.compute_dtype == "float64" else tf.float32


def _check_update(update: keras.layers.Layer) -> None:
    if not isinstance(update, Update):
        kind = type(update)
        raise InputError(
            f"Received the update {kind.__module__}.{kind.__name__}; expected one of whole "
            "windows, derived from tf4dvar.layers.Update: LSTMCell or ConvCell, or your own."
        )
