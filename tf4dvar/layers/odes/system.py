"""The right-hand side of a system that is known by its name."""

import keras
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.checks import check_components
from tf4dvar.layers.contracts import ODE
from tf4dvar.systems import System, system_by_name


@keras.saving.register_keras_serializable(package="tf4dvar")
class SystemODE(ODE):
    """The system's own tendency; nothing of it is trained.

    Args:
        system: short name, or the system itself: a model with that cannot be saved.

    Call arguments:
        state: [batch, time, *space, variable], physical units.
        covariates: those of the system, [batch, time, covariate], if it has some.

    Returns:
        dx/dt, same shape, per unit of time.

    Raises:
        InputError: no system has the name, or it computes its tendency in NumPy alone.
    """

    def __init__(self, system: str | System, **kwargs):
        super().__init__(**kwargs)
        self.system = system
        self._nature = system_by_name(system) if isinstance(system, str) else system
        self.covariates = len(self._nature.covariates)

    def build(self, input_shape):
        """Refuse a tendency that would be no function of tensors, or one without derivatives."""
        check_components(self, input_shape, len(self._nature.components))
        # In a graph: an eager tensor becomes an array where NumPy is called, and its slope zero.
        tendency = tf.function(self._nature.tendency, autograph=False)
        shapes = [input_shape, (*input_shape[:-1], self.covariates)][: 1 + bool(self.covariates)]
        try:
            tendency.get_concrete_function(
                *(tf.TensorSpec(shape, self.compute_dtype) for shape in shapes)
            )
        except (NotImplementedError, TypeError) as error:
            raise InputError(
                f"The tendency of {self._nature.name} takes no tensors; write it in plain "
                "arithmetic, and library_of(state).stack, .roll or .sin in place of NumPy's."
            ) from error

    def call(self, state, covariates=None):
        """The tendency."""
        given = () if covariates is None else (covariates,)
        return self._nature.tendency(state, *given)

    def step(self, state, time_step):
        """States one step later by the system's own scheme; it is not forced.

        Args:
            state: as of the call.
            time_step: in units of time.
        """
        return self._nature.step(state, time_step)

    def get_config(self):
        """The system's name.

        Raises:
            InputError: it is not known by a name.
        """
        if not isinstance(self.system, str):
            raise InputError(
                f"The system {self._nature.name} was given as an object, which a saved model could "
                "not find again. Put @keras.saving.register_keras_serializable() above its "
                "function, or give a class derived from System a name."
            )
        return super().get_config()
