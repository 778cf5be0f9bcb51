"""Priors that step an ODE: one-step-ahead prediction by Euler and Runge-Kutta schemes."""

import keras
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.adjoint import differentiated, with_adjoint
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import ODE, Prior, trait
from tf4dvar.layers.kernels.times import first_times, last_times, pad_times
from tf4dvar.layers.precise_layer import PreciseLayer, check_precise


class OneStepFlow(PreciseLayer, Prior):
    """One-step-ahead prediction of every time from the one before.

    Subclasses give `step_with_adjoint`. A flow is a prior Phi that knows physical units only; it
    can also forecast, which a GENN cannot.

    Args:
        ode: layer dx/dt, [batch, time, *space, variable] to the same shape.
        time_step: integration step, in the ODE's unit of time.

    Call arguments:
        state: [batch, time, *space, variable], physical units.
        covariates: of a forced ODE, [batch, time, covariate]; between two times they are linear.

    Returns:
        Same shape: at t the prediction from t - 1; at the first time `state` itself, so that
        its residual is zero there.
    """

    physical_units = True

    def __init__(self, ode: keras.layers.Layer, time_step: float, **kwargs):
        super().__init__(**kwargs)
        if not time_step > 0:
            raise ValueError(f"Received time_step={time_step}; expected a positive number.")
        check_precise(ode)
        self.ode = ode
        self.covariates = trait(ode, ODE, "covariates")
        self.time_step = float(time_step)

    def build(self, input_shape):
        """Build the ODE."""
        build_once(self.ode, input_shape)

    def step(self, state, covariates=None):
        """Advance every state by one time step.

        Args:
            state: [batch, time, *space, variable].
            covariates: of a forced ODE, those at the states' times beside those one step on,
                [batch, time, 2 * covariate].
        """
        return self.step_with_adjoint(state, covariates)[0]

    @tf.function(reduce_retracing=True)
    def ahead(self, states, steps):
        """The states that follow others, one step after another, without covariates.

        Args:
            states: [state, component].
            steps: how many follow each, a tensor.

        Returns:
            [state, step, component].
        """
        states = tf.cast(states, self.compute_dtype)
        found = tf.TensorArray(states.dtype, steps, element_shape=states.shape)
        for step in tf.range(steps):
            states = tf.ensure_shape(self.step(states[:, tf.newaxis])[:, 0], states.shape)
            found = found.write(step, states)
        return tf.transpose(found.stack(), (1, 0, 2))

    def with_time_step(self, time_step: float) -> "OneStepFlow":
        """The flow of the same ODE, with its weights, by another step.

        Args:
            time_step: in the ODE's unit of time.
        """
        if time_step == self.time_step:
            return self
        return type(self)(self.ode, time_step, dtype=self.dtype_policy)

    def call(self, state, covariates=None):
        """The prediction."""
        return self.with_adjoint(state, covariates)[0]

    def with_adjoint(self, state, covariates=None):
        """The flow and its adjoint; see `tf4dvar.layers.adjoint`."""
        steps = tf.shape(state)[1]
        if covariates is not None:
            ends = first_times(covariates, steps - 1), last_times(covariates, steps - 1)
            covariates = tf.concat(ends, axis=-1)
        advanced, adjoint_step = self.step_with_adjoint(first_times(state, steps - 1), covariates)

        def adjoint(residual):
            first = pad_times(first_times(residual, 1), 0, steps - 1)
            rest = adjoint_step(last_times(residual, steps - 1))
            return first + pad_times(rest, 0, 1)

        return tf.concat([first_times(state, 1), advanced], axis=1), adjoint

    def step_with_adjoint(self, state, covariates=None):
        """`step` and its adjoint."""
        raise NotImplementedError

    def _of_stages(self, covariates) -> tuple[list, list, list]:
        """What the ODE is given besides the state, at the beginning, the middle and the end."""
        given = 0 if covariates is None else covariates.shape[-1] // 2
        if given != self.covariates:
            raise InputError(
                f"{type(self).__name__} received {given} covariates; its ODE "
                f"{type(self.ode).__name__} takes {self.covariates}."
            )
        if not given:
            return [], [], []
        first, last = tf.split(covariates, 2, axis=-1)
        return [first], [(first + last) / 2], [last]


@keras.saving.register_keras_serializable(package="tf4dvar")
class EulerFlow(OneStepFlow):
    """One-step-ahead prediction by the explicit Euler scheme (eq. 7); see `OneStepFlow`."""

    def step_with_adjoint(self, state, covariates=None):
        """x + h f(x)."""
        h = self.time_step
        slope, adjoint = with_adjoint(self.ode, state, *self._of_stages(covariates)[0])
        return state + h * slope, lambda residual: residual + adjoint(h * residual)


@keras.saving.register_keras_serializable(package="tf4dvar")
class RK4Flow(OneStepFlow):
    """One-step-ahead prediction by fourth-order Runge-Kutta (eq. 8); see `OneStepFlow`."""

    def step_with_adjoint(self, state, covariates=None):
        """x + h (k1 + 2 k2 + 2 k3 + k4) / 6, and the stages back in reverse order."""
        h = self.time_step
        first, middle, last = self._of_stages(covariates)
        k1, back_1 = with_adjoint(self.ode, state, *first)
        k2, back_2 = with_adjoint(self.ode, state + h / 2 * k1, *middle)
        k3, back_3 = with_adjoint(self.ode, state + h / 2 * k2, *middle)
        k4, back_4 = with_adjoint(self.ode, state + h * k3, *last)

        def adjoint(residual):
            sixth = h / 6 * residual
            third = 2 * sixth
            r4 = back_4(sixth)
            r3 = back_3(third + h * r4)
            r2 = back_2(third + h / 2 * r3)
            r1 = back_1(sixth + h / 2 * r2)
            return tf.add_n([residual, r1, r2, r3, r4])

        return state + h / 6 * tf.add_n([k1, 2 * (k2 + k3), k4]), adjoint


@keras.saving.register_keras_serializable(package="tf4dvar")
class SystemFlow(OneStepFlow):
    """One-step-ahead prediction by a system's own scheme; see `OneStepFlow`.

    Its ODE is a `SystemODE`, which knows the system, and is not forced.

    Usage:

        from tf4dvar.layers import SystemFlow, SystemODE

        flow = SystemFlow(SystemODE("ks"), time_step=0.5)
        assert flow(np.zeros((1, 3, 128))).shape == (1, 3, 128)
    """

    def step_with_adjoint(self, state, covariates=None):
        """A step of the system, and back by `tf.GradientTape`."""
        return differentiated(lambda state: self.ode.step(state, self.time_step), state)
