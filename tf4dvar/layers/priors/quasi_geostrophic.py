"""A prior that steps quasi-geostrophic heights, and filters their smallest scales."""

import keras
import numpy as np
import tensorflow as tf
from scipy import fft

from tf4dvar.layers.priors.flow import OneStepFlow, RK4Flow
from tf4dvar.systems.quasi_geostrophic import FILTER_FROM, FILTER_STEEPNESS

# Parts are traced one by one: a file must not be able to ask for any number of them.
MOST = 1000


@keras.saving.register_keras_serializable(package="tf4dvar")
class QuasiGeostrophicFlow(OneStepFlow):
    """One-step-ahead prediction of heights in a periodic box; see `OneStepFlow`.

    Runge-Kutta steps, each followed by the exponential filter of
    `tf4dvar.systems.QuasiGeostrophic`, as strong as there with steps of an hour.

    Args:
        ode: `QuasiGeostrophicODE`, or another of periodic fields, per day.
        time_step: between two states, days.
        parts: Runge-Kutta steps within. A step is stable while no flow crosses about 0.9 of the
            distance of two points in it.

    Call arguments:
        state: heights, m, [batch, time, y, x, layer].

    Returns:
        Same shape: at t the prediction from t - 1; at the first time `state` itself.

    Usage:

        from tf4dvar.layers import QuasiGeostrophicFlow, QuasiGeostrophicODE

        flow = QuasiGeostrophicFlow(QuasiGeostrophicODE(spacing=20e3, layers=1))
        assert flow(np.zeros((1, 3, 8, 8, 1))).shape == (1, 3, 8, 8, 1)
    """

    def __init__(self, ode: keras.layers.Layer, time_step: float = 1.0, parts: int = 4, **kwargs):
        super().__init__(ode, time_step, **kwargs)
        if not 1 <= parts <= MOST:
            raise ValueError(f"Received parts={parts}; expected 1 to {MOST}.")
        self.parts = int(parts)
        self.scheme = RK4Flow(ode, time_step / parts, dtype=self.dtype_policy)

    def build(self, input_shape):
        """Build the ODE."""
        self.scheme.build(input_shape)

    def step_with_adjoint(self, state, covariates=None):
        """The parts one after the other, and back."""
        adjoints = []
        for _ in range(self.parts):
            advanced, adjoint = self.scheme.step_with_adjoint(state, covariates)
            state = self._filtered(advanced)
            adjoints.append(adjoint)

        def back(residual):
            for adjoint in reversed(adjoints):
                residual = adjoint(self._filtered(residual))
            return residual

        return state, back

    def _filtered(self, state):
        rows, columns = size = state.shape[2:4]
        kx, ky = np.meshgrid(fft.rfftfreq(columns), fft.fftfreq(rows))
        beyond = np.maximum(2 * np.pi * np.hypot(kx, ky) - FILTER_FROM, 0.0)
        hours = 24 * self.time_step / self.parts
        waves = tf.signal.rfft2d(tf.transpose(state, (0, 1, 4, 2, 3)))
        waves *= tf.cast(np.exp(-FILTER_STEEPNESS * hours * beyond**4), waves.dtype)
        return tf.transpose(tf.signal.irfft2d(waves, size), (0, 1, 3, 4, 2))
