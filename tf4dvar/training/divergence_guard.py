"""What to do when the loss is no longer a number."""

import logging

import keras
import numpy as np

logger = logging.getLogger(__name__)


class DivergenceGuard(keras.callbacks.Callback):
    """Restores the weights when the loss is NaN or infinite, and lowers the learning rate.

    Weights and optimiser go back to the beginning of the epoch, and the learning rate is halved
    for good. After `patience` such restores training stops, with the last good weights.

    Place it after a callback that sets the learning rate at the beginning of an epoch.

    Args:
        patience: number of restores to allow.
    """

    def __init__(self, patience: int = 3):
        super().__init__()
        self.patience = patience
        self.restores = 0

    def on_train_begin(self, logs=None):
        """Create the optimiser's variables, so that the first epoch remembers them too."""
        self.model.optimizer.build(self.model.trainable_variables)

    def on_epoch_begin(self, epoch, logs=None):
        """Remember the weights."""
        self._epoch = epoch
        self._snapshot = [np.array(variable) for variable in self._variables()]
        self._lower_learning_rate(0.5**self.restores)

    def on_train_batch_end(self, batch, logs=None):
        """Look at the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if np.isfinite(loss):
            return
        for variable, value in zip(self._variables(), self._snapshot, strict=True):
            variable.assign(value)
        self.model.reset_metrics()
        self.restores += 1
        found = f"The loss became {loss} in epoch {self._epoch + 1}, batch {batch + 1}"
        if self.restores > self.patience:
            self.model.stop_training = True
            logger.error(
                "%s, after %d restores: training stops with the last good weights. "
                "Lower the learning rate, or begin with fewer iterations.",
                found,
                self.patience,
            )
            return
        self._lower_learning_rate(0.5)
        logger.warning(
            "%s: the weights of the epoch's beginning are back, the learning rate is %.2g.",
            found,
            float(self.model.optimizer.learning_rate),
        )

    def _lower_learning_rate(self, factor):
        optimizer = self.model.optimizer
        optimizer.learning_rate = float(optimizer.learning_rate) * factor

    def _variables(self):
        optimizer = self.model.optimizer
        # The step count goes on: the epoch is derived from it when a training resumes.
        kept = (id(optimizer.iterations), id(optimizer.learning_rate))
        return self.model.variables + [v for v in optimizer.variables if id(v) not in kept]
