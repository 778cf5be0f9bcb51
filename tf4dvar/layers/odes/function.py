"""A right-hand side that the user gives, as a layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.errors import InputError, shown
from tf4dvar.layers.checks import check_components
from tf4dvar.layers.configured import ConfiguredLayer
from tf4dvar.layers.contracts import ODE
from tf4dvar.systems.tendency import (
    Components,
    Tendency,
    as_slopes,
    by_name,
    check_parameters,
    component_names,
    tendency_name,
)


def ode_layer(
    tendency: Tendency,
    *,
    components: Components = None,
    trainable: bool | Sequence[str] = True,
    covariates: Sequence[str] = (),
    dtype: Any = None,
    name: str | None = None,
    **parameters: Any,
) -> "FunctionODE":
    """A function dx/dt = f(state, **parameters) as a layer, for `RK4Flow(ode_layer(...), 0.01)`.

    Args:
        tendency: a named function of a tensor [..., component], written with TensorFlow or plain
            arithmetic, that returns dx/dt of the same shape, or the list of the components'
            tendencies. `tf4dvar.systems.symbolic.Equations` do as well, and need no registration.
        components: number or names of the state's components; the equations' own by default.
        trainable: whether the parameters are learned, or the names of those that are.
        covariates: names of those of the function's arguments that are known in time, as a
            forcing; it gets each as a tensor [...] without the components.
        dtype, name: of the layer.
        **parameters: initial values by name, numbers or arrays, per the function's unit of time.

    Raises:
        InputError: a parameter too many or too few, or a function that could not be saved.

    Usage:

        @keras.saving.register_keras_serializable()
        def pendulum(state, gravity, damping):
            angle, speed = state[..., 0], state[..., 1]
            return [speed, -gravity * tf.sin(angle) - damping * speed]

        ode = ode_layer(pendulum, components=2, trainable=["damping"], gravity=9.81, damping=0.1)
        prior = RK4Flow(ode, time_step=0.01)
    """
    learned = None if isinstance(trainable, bool) else list(trainable)
    return FunctionODE(
        tendency,
        component_names(tendency, components),
        parameters,
        learned,
        tuple(covariates),
        trainable=trainable if learned is None else True,
        dtype=dtype,
        name=name,
    )


@keras.saving.register_keras_serializable(package="tf4dvar")
class FunctionODE(ODE):
    """dx/dt as the user's function with its parameters as weights; made by `ode_layer`.

    Args:
        tendency: see `ode_layer`.
        components: names of the state's components.
        parameters: initial values by name.
        learned: names of the parameters that are trained; all by default.
        covariate_names: see `ode_layer`.

    Call arguments:
        state: [batch, time, *space, variable], physical units.
        covariates: [batch, time, covariate], if it has some.

    Returns:
        dx/dt, same shape, per unit of time.
    """

    def __init__(
        self,
        tendency: Tendency,
        components: Sequence[str],
        parameters: Mapping[str, Any],
        learned: Sequence[str] | None = None,
        covariate_names: Sequence[str] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_parameters(tendency, {**parameters, **dict.fromkeys(covariate_names)})
        unknown = set(learned or ()) - set(parameters)
        if unknown:
            raise InputError(
                f"Received {sorted(unknown)} to be trained; "
                f"expected names among the parameters {sorted(parameters)}."
            )
        if not is_saveable(tendency):
            called = tendency_name(tendency)
            raise InputError(
                f"Received {'a lambda' if called == '<lambda>' else f'the function {called}'}, "
                "which a saved model could not find again. Define it with `def` in a module that "
                "is imported before the model is loaded, under the line "
                "@keras.saving.register_keras_serializable()."
            )
        self.tendency: Any = tendency
        self.components = tuple(components)
        self.initial_parameters = {k: np.asarray(v, "float64") for k, v in parameters.items()}
        self.learned = tuple(parameters if learned is None else learned)
        self.covariate_names = tuple(covariate_names)
        self.covariates = len(self.covariate_names)

    def build(self, input_shape):
        """Create the parameters."""
        check_components(self, input_shape, len(self.components))
        self._parameters = [
            self.add_weight(
                shape=value.shape,
                initializer=keras.initializers.Constant(value),
                trainable=key in self.learned,
                name=key,
            )
            for key, value in self.initial_parameters.items()
        ]

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters as they are now, by name."""
        if not self.built:
            return dict(self.initial_parameters)
        return {weight.name: weight.numpy() for weight in self._parameters}

    def call(self, state, covariates=None):
        """The function at the current parameters."""
        name = tendency_name(self.tendency)
        parameters = {weight.name: tf.convert_to_tensor(weight) for weight in self._parameters}
        parameters |= by_name(covariates, self.covariate_names, name, state)
        return as_slopes(self.tendency(state, **parameters), state, name)

    def get_config(self):
        """The function by its registered name, or the equations; the initial parameters."""
        keeps_itself = hasattr(self.tendency, "to_config")
        return {
            **super(ConfiguredLayer, self).get_config(),
            "tendency": self.tendency.to_config()
            if keeps_itself
            else keras.saving.serialize_keras_object(self.tendency),
            "symbolic": keeps_itself,
            "components": list(self.components),
            "parameters": {k: v.tolist() for k, v in self.initial_parameters.items()},
            "learned": list(self.learned),
            "covariate_names": list(self.covariate_names),
        }

    @classmethod
    def from_config(cls, config):
        """Find the registered function, or rebuild the equations.

        Raises:
            InputError: no function is registered under the name, or the equations are damaged.
        """
        config = dict(config)
        if config.pop("symbolic"):
            from tf4dvar.systems.symbolic import Equations

            config["tendency"] = Equations.from_config(config["tendency"])
        else:
            # Of the name alone: Keras would import a module that a file names.
            name = config["tendency"]["config"]
            config["tendency"] = keras.saving.get_registered_object(name)
            if config["tendency"] is None:
                raise InputError(
                    f"The right-hand side {shown(name)} is not known here; import the module in "
                    "which it is registered first, in a command by --import MODULE."
                )
        return cls(**config)


def is_saveable(tendency: Tendency) -> bool:
    """Whether a model that is loaded finds the right-hand side again.

    Args:
        tendency: a function, or equations, which keep themselves.
    """
    if hasattr(tendency, "to_config"):
        return True
    # Not every callable has a name to be registered under: functools.partial has none.
    return hasattr(tendency, "__name__") and bool(
        keras.saving.get_registered_object(keras.saving.get_registered_name(tendency))
    )
