"""Forecast, tangent linear and adjoint of a one-step-ahead model."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tf4dvar.errors import InputError

if TYPE_CHECKING:
    import keras

# Small enough for a processor's cache, large enough to hide the time of a call.
BLOCK_ENTRIES = 2**16
TRAJECTORY_WINDOWS, TRAJECTORY_STEPS = 256, 50


class OneStepModel:
    """A flow and its derivatives by automatic differentiation, from arrays to arrays.

    XLA makes a step some ten times faster on a CPU, but compiles anew for every shape: hence
    everything is cut into blocks of one size, the last one filled up.

    Args:
        flow: any `OneStepFlow` of dtype float64; only its `step` is used.
        components: number of components of the state.

    Raises:
        InputError: the prior does not step ahead in time, or not in double precision.
    """

    def __init__(self, flow: "keras.layers.Layer", components: int):
        import tensorflow as tf

        from tf4dvar.layers import OneStepFlow
        from tf4dvar.layers.checks import build_once

        check_given(flow)
        if not isinstance(flow, OneStepFlow):
            raise InputError(
                f"Received the prior {type(flow).__name__}; this method needs one that predicts "
                "one step ahead, such as RK4Flow. weak-lbfgs takes any prior."
            )
        check_double(flow)
        build_once(flow, (None, None, components))
        self.components = components
        self.covariates = flow.covariates
        self._block = BLOCK_ENTRIES // components
        self._jacobian_block = max(1, BLOCK_ENTRIES // components**2)

        @tf.function(jit_compile=True)
        def forecast(state, *covariates):
            return flow.step(state, *covariates)

        @tf.function(jit_compile=True)
        def trajectory(state, *covariates):
            shape = (1, TRAJECTORY_WINDOWS, TRAJECTORY_STEPS, 2 * flow.covariates)
            of_steps = [tf.reshape(each, shape) for each in covariates]

            def advance(step, state, states):
                state = flow.step(state, *(each[:, :, step] for each in of_steps))
                return step + 1, state, states.write(step, state[0])

            states = tf.TensorArray(tf.float64, TRAJECTORY_STEPS, element_shape=state.shape[1:])
            *_, states = tf.while_loop(
                lambda step, *_: step < TRAJECTORY_STEPS, advance, (tf.constant(0), state, states)
            )
            return tf.transpose(states.stack(), (1, 0, 2))[None]

        @tf.function(jit_compile=True)
        def tangent(state, perturbation, *covariates):
            with tf.autodiff.ForwardAccumulator(state, perturbation) as accumulator:
                following = flow.step(state, *covariates)
            return accumulator.jvp(following)

        @tf.function(jit_compile=True)
        def adjoint(state, sensitivity, *covariates):
            with tf.GradientTape() as tape:
                tape.watch(state)
                following = flow.step(state, *covariates)
            return tape.gradient(following, state, output_gradients=sensitivity)

        @tf.function(jit_compile=True)
        def jacobian(state, *covariates):
            # All rows at once, each by the adjoint at a copy of the state.
            copies = tf.repeat(state[0][:, None], components, axis=1)
            beside = [tf.repeat(each[0][:, None], components, axis=1) for each in covariates]
            rows = tf.eye(components, batch_shape=[self._jacobian_block], dtype=tf.float64)
            return adjoint(copies, rows, *beside)[None]

        self._forecast, self._trajectory, self._jacobian = forecast, trajectory, jacobian
        self._tangent, self._adjoint = tangent, adjoint
        # Compiled now, so that it counts as no window's time.
        state = np.zeros((1, components))
        ends = np.zeros((1, 2 * flow.covariates)) if flow.covariates else None
        self.forecast(state, ends), self.jacobians(state, ends)
        self.trajectory(state, 2, None if ends is None else ends[:, None])

    def forecast(self, states: np.ndarray, covariates: np.ndarray | None = None) -> np.ndarray:
        """The states one step later, [..., component] to the same.

        Args:
            states: [..., component].
            covariates: of a forced flow, see `OneStepFlow.step`, [..., 2 * covariate], whose axes
                go with those of the states; so in all methods.
        """
        given = self._beside(states, covariates)
        return self._in_blocks(self._forecast, states, *given).reshape(states.shape)

    def trajectory(
        self, initial: np.ndarray, steps: int, covariates: np.ndarray | None = None
    ) -> np.ndarray:
        """States at `steps` times from initial ones, [window, component].

        Args:
            initial: [window, component].
            steps: number of times.
            covariates: of every step at least, [window, time, 2 * covariate].

        Returns:
            [window, time, component], the initial states first.
        """
        pieces = [initial[:, None]]
        for step in range(0, steps - 1, TRAJECTORY_STEPS):
            last, given = pieces[-1][:, -1], []
            if covariates is not None:
                some = covariates[:, step : step + TRAJECTORY_STEPS]
                fill = ((0, 0), (0, TRAJECTORY_STEPS - some.shape[1]), (0, 0))
                given.append(np.pad(some, fill, mode="edge").reshape(len(some), -1))
            pieces.append(self._in_blocks(self._trajectory, last, *given, block=TRAJECTORY_WINDOWS))
        return np.concatenate(pieces, axis=1)[:, :steps]

    def tangent(
        self, states: np.ndarray, perturbations: np.ndarray, covariates: np.ndarray | None = None
    ) -> np.ndarray:
        """Tangent linear step M v by forward mode; all arrays are [..., component]."""
        given = perturbations, *self._beside(states, covariates)
        return self._in_blocks(self._tangent, states, *given).reshape(states.shape)

    def adjoint(
        self, states: np.ndarray, sensitivities: np.ndarray, covariates: np.ndarray | None = None
    ) -> np.ndarray:
        """Adjoint step M^T w by reverse mode; all arrays are [..., component]."""
        given = sensitivities, *self._beside(states, covariates)
        return self._in_blocks(self._adjoint, states, *given).reshape(states.shape)

    def jacobians(self, states: np.ndarray, covariates: np.ndarray | None = None) -> np.ndarray:
        """Jacobian M of the step at every state, [..., component] to [..., row, column]."""
        given = self._beside(states, covariates)
        jacobians = self._in_blocks(self._jacobian, states, *given, block=self._jacobian_block)
        return jacobians.reshape(*states.shape, self.components)

    def _beside(self, states: np.ndarray, covariates: np.ndarray | None) -> list[np.ndarray]:
        """The covariates of every state, in a list that is empty where there are none."""
        if covariates is None:
            return []
        return [np.broadcast_to(covariates, (*states.shape[:-1], covariates.shape[-1]))]

    def _in_blocks(
        self, function: Callable, *arrays: np.ndarray, block: int | None = None
    ) -> np.ndarray:
        """Apply a function of [1, block, ...] arrays to all states, first axes merged."""
        block = block or self._block
        merged = [np.reshape(array, (1, -1, array.shape[-1])) for array in arrays]
        count = merged[0].shape[1]
        fill = ((0, 0), (0, -count % block), (0, 0))
        merged = [np.pad(array, fill, mode="edge") for array in merged]
        results = [
            function(*(array[:, start : start + block] for array in merged)).numpy()[0]
            for start in range(0, count, block)
        ]
        return np.concatenate(results)[:count]


@lru_cache(maxsize=8)
def one_step_model(flow: "keras.layers.Layer", components: int) -> OneStepModel:
    """The `OneStepModel` of a flow, compiled once however many methods use it.

    Args:
        flow: see `OneStepModel`.
        components: number of components of the state.
    """
    return OneStepModel(flow, components)


def check_double(prior: "keras.layers.Layer") -> None:
    """Refuse a prior that does not compute in float64."""
    check_given(prior)
    if prior.compute_dtype != "float64":
        raise InputError(
            f"Received a prior of dtype {prior.compute_dtype}; classical methods need float64: "
            'build it, and the ODE in it, with dtype="float64".'
        )


def check_given(prior: "keras.layers.Layer | None") -> None:
    """Refuse a problem without dynamics."""
    if prior is None:
        raise InputError("The method needs the dynamics: give the problem a flow.")
