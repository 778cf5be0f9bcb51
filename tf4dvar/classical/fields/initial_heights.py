"""The cost of a window of heights, in what makes its first ones and what forces them."""

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers import QuasiGeostrophicFlow
from tf4dvar.layers.recompute import recomputed_loop


class InitialHeights:
    """J(v), and the heights that follow from v = (v_0, v_1, ...), white noise in the background.

        J(v) = |v|^2 / 2 + sum_t |(h_t - y_t) / sigma_t|^2 / 2
        h_0 = B^(1/2) v_0,    h_t = flow(h_t-1) + sum_m modes_tm Q^(1/2) v_m

    where h_t - y_t is that of the surface, and so is the forcing. Without a mode the dynamics hold
    exactly.

    Args:
        ode: `QuasiGeostrophicODE`, or another of periodic heights, per day.
        root: B^(1/2), see `IsotropicSpectrum.root`.
        shape: of a window, times, rows and columns.
        time_step: between two times, days.
        parts: Runge-Kutta steps between two times.
        forcing: Q^(1/2), [1, 1, ky, kx], m per day; none by default.
        modes: [time - 1, mode]; none by default.

    Attributes:
        initial_shape: of v_0, [layer, y, x].
        size: of v.

    Usage:

        from tf4dvar.classical.fields.initial_heights import InitialHeights
        from tf4dvar.layers import QuasiGeostrophicODE

        ode = QuasiGeostrophicODE(spacing=20e3, layers=1)
        cost = InitialHeights(ode, np.ones((1, 1, 8, 5)), (3, 8, 8), time_step=1.0, parts=2)
        y = np.zeros((3, 8, 8))
        value, gradient = cost(np.ones(64), y, np.ones_like(y))
        assert value > 32
    """

    def __init__(
        self,
        ode: keras.layers.Layer,
        root: np.ndarray,
        shape: tuple[int, int, int],
        time_step: float,
        parts: int,
        forcing: np.ndarray | None = None,
        modes: np.ndarray | None = None,
    ):
        self.shape, self.parts, self.dtype = shape, parts, ode.compute_dtype
        self._layers = len(root)
        complex_type = "complex128" if self.dtype == "float64" else "complex64"
        self._root = tf.constant(root, complex_type)
        self._forcing = tf.constant(
            np.ones((1, 1, 1, 1)) if forcing is None else forcing, complex_type
        )
        modes = np.empty((shape[0] - 1, 0)) if modes is None else modes
        # Of the last step, which leaves the window, there is none.
        modes = np.concatenate([modes, np.zeros_like(modes[:1])]) * time_step / parts
        self._modes = tf.constant(modes, self.dtype)
        self.initial_shape = (self._layers, *shape[1:])
        self.size = (self._layers + modes.shape[1]) * shape[1] * shape[2]
        # Each step by itself: the loop keeps the states between, and nothing within.
        self._flow = QuasiGeostrophicFlow(ode, time_step / parts, parts=1, dtype=self.dtype)
        self._flow.build((1, 1, *shape[1:], self._layers))
        control = tf.TensorSpec((self._layers + modes.shape[1], *shape[1:]), self.dtype)
        fields = tf.TensorSpec(shape, self.dtype)
        self._compiled = tf.function(self._value_and_gradient, (control, fields, fields), False)
        self._followed = tf.function(self._heights, (control,), False)

    def __call__(
        self, control: np.ndarray, values: np.ndarray, weights: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """J and its gradient.

        Args:
            control: v, of any shape.
            values: y, [time, y, x], finite.
            weights: 1 / sigma^2, 0 where not observed, the same.
        """
        given = [tf.constant(each, self.dtype) for each in (values, weights)]
        value, gradient = self._compiled(self._tensor(control), *given)
        return float(value), gradient.numpy().ravel().astype("float64")

    def trajectory(self, control: np.ndarray) -> np.ndarray:
        """The heights, [time, layer, y, x].

        Args:
            control: v, of any shape.
        """
        return np.moveaxis(self._followed(self._tensor(control)).numpy(), -1, 1)

    def _tensor(self, control):
        return tf.constant(np.reshape(control, (-1, *self.shape[1:])), self.dtype)

    def _start(self, control):
        """h_0, [1, 1, y, x, layer], and what forces each mode, [mode, y, x]."""
        waves = tf.signal.rfft2d(control)
        heights = tf.einsum("ijyx,jyx->iyx", self._root, waves[: self._layers])
        heights = tf.signal.irfft2d(heights, self.shape[1:])
        forcing = tf.signal.irfft2d(self._forcing[0] * waves[self._layers :], self.shape[1:])
        return tf.transpose(heights, (1, 2, 0))[None, None], forcing

    def _next(self, count, heights, forcing):
        forced = tf.tensordot(self._modes[count // self.parts], forcing, 1)[..., None]
        lower = [[0, 0], [0, 0], [0, self._layers - 1]]
        return self._advance(heights) + tf.pad(forced, lower)

    def _heights(self, control):
        first, forcing = self._start(control)
        steps = tf.range((self.shape[0] - 1) * self.parts)
        later = tf.scan(lambda heights, count: self._next(count, heights, forcing), steps, first)
        return tf.concat([first[None], later[self.parts - 1 :: self.parts]], axis=0)[:, 0, 0]

    def _value_and_gradient(self, control, values, weights):
        def step(count, heights, forcing, misfit):
            time = count // self.parts
            counts = tf.cast(tf.equal(count % self.parts, 0), self.dtype)
            departures = heights[0, 0, ..., 0] - values[time]
            misfit += counts * tf.reduce_sum(weights[time] * departures**2)
            return self._next(count, heights, forcing), forcing, misfit

        with tf.GradientTape() as tape:
            tape.watch(control)
            start = *self._start(control), tf.zeros((), self.dtype)
            steps = (self.shape[0] - 1) * self.parts + 1
            *_, misfit = recomputed_loop(step, start, steps)
            value = (tf.reduce_sum(control**2) + misfit) / 2
        return value, tape.gradient(value, control)

    @property
    def _advance(self):
        @tf.custom_gradient
        def advance(heights):
            """A step, differentiated by the flow's own adjoint; its numbers are known."""
            advanced, adjoint = self._flow.step_with_adjoint(heights)

            def back(residual, variables=()):
                return adjoint(residual), [None] * len(variables)

            return advanced, back

        return advance
