"""Priors that step an ODE: one-step-ahead prediction by Euler and Runge-Kutta schemes."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once


class OneStepFlow(keras.layers.Layer):
    """One-step-ahead prediction of every time from the one before.

    Subclasses give `step`. A flow is a prior Phi that knows physical units only; it can also
    forecast, which a GENN cannot.

    Args:
        ode: layer dx/dt, [batch, time, component] to the same shape.
        time_step: integration step, in the ODE's unit of time.

    Call arguments:
        state: [batch, time, component], physical units.

    Returns:
        Same shape: at t the prediction from t - 1; at the first time `state` itself, so that
        its residual is zero there.
    """

    physical_units = True

    def __init__(self, ode: keras.layers.Layer, time_step: float, **kwargs):
        super().__init__(**kwargs)
        if not time_step > 0:
            raise ValueError(f"Received time_step={time_step}; expected a positive number.")
        self.ode = ode
        self.time_step = float(time_step)

    def build(self, input_shape):
        """Build the ODE."""
        build_once(self.ode, input_shape)

    def call(self, state):
        """The first time as it is, then the predictions."""
        return tf.concat([state[:, :1], self.step(state[:, :-1])], axis=1)

    def step(self, state):
        """Advance every state by one time step."""
        raise NotImplementedError

    def get_config(self):
        """The ODE and the time step."""
        return {
            **super().get_config(),
            "ode": keras.saving.serialize_keras_object(self.ode),
            "time_step": self.time_step,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuild the ODE, then the flow."""
        config = dict(config)
        config["ode"] = keras.saving.deserialize_keras_object(config["ode"])
        return cls(**config)


@keras.saving.register_keras_serializable(package="tf4dvar")
class EulerFlow(OneStepFlow):
    """One-step-ahead prediction by the explicit Euler scheme (eq. 7); see `OneStepFlow`."""

    def step(self, state):
        """x + h f(x)."""
        return state + self.time_step * self.ode(state)


@keras.saving.register_keras_serializable(package="tf4dvar")
class RK4Flow(OneStepFlow):
    """One-step-ahead prediction by fourth-order Runge-Kutta (eq. 8); see `OneStepFlow`."""

    def step(self, state):
        """x + h (k1 + 2 k2 + 2 k3 + k4) / 6."""
        h = self.time_step
        k1 = self.ode(state)
        k2 = self.ode(state + h / 2 * k1)
        k3 = self.ode(state + h / 2 * k2)
        k4 = self.ode(state + h * k3)
        return state + h / 6 * (k1 + 2 * (k2 + k3) + k4)
