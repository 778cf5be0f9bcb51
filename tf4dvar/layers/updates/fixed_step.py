"""The update of plain gradient descent."""

import keras


@keras.saving.register_keras_serializable(package="tf4dvar")
class FixedStepCell(keras.layers.Layer):
    """Fixed-step gradient descent (FSGD, eq. 5): the increment is `step_size` * gradient.

    Args:
        step_size: positive; constant.
    """

    state_size = ()

    def __init__(self, step_size: float, **kwargs):
        super().__init__(**kwargs)
        if not step_size > 0:
            raise ValueError(f"Received step_size={step_size}; expected a positive number.")
        self.step_size = float(step_size)

    def get_initial_state(self, gradient):
        """Nothing to remember."""
        return ()

    def call(self, gradient, states):
        """The scaled gradient."""
        return self.step_size * gradient, states

    def get_config(self):
        """The step."""
        return {**super().get_config(), "step_size": self.step_size}
