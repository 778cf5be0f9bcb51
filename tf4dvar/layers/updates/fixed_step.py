"""The update of plain gradient descent."""

import keras

from tf4dvar.layers.contracts import Update


@keras.saving.register_keras_serializable(package="tf4dvar")
class FixedStepCell(Update):
    """Fixed-step gradient descent (FSGD, eq. 5): the increment is `step_size` * gradient.

    Args:
        step_size: positive; constant.
    """

    def __init__(self, step_size: float, **kwargs):
        super().__init__(**kwargs)
        if not step_size > 0:
            raise ValueError(f"Received step_size={step_size}; expected a positive number.")
        self.step_size = float(step_size)

    def call(self, gradient, memory):
        """The scaled gradient."""
        return self.step_size * gradient, memory
