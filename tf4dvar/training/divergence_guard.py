"""What to do when the loss is no longer a number."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

logger = logging.getLogger(__name__)

# Times the least loss of an epoch so far. Trainings recover from a factor of some hundreds, as more
# iterations or an outlier may bring.
EXPLODED = 1000.0


class DivergenceGuard(keras.callbacks.Callback):
    """Restores the weights when the loss explodes or they are NaN, and lowers the learning rate.

    Exploded is a loss that is NaN or infinite, or an epoch's that is a thousand times the size of
    the least of the epochs before: a likelihood's is below 0.

    Weights and optimiser go back to the beginning of the epoch, and the learning rate is halved
    for good. After `patience` such restores training stops, with the last good weights. What
    happened is logged, with the epoch, the batch and the window that went farthest astray; the
    logs of an epoch hold the number of `restores` so far.

    Place it after a callback that sets the learning rate at the beginning of an epoch, and before
    one that saves the model.

    Args:
        patience: number of restores to allow.
        history: the logs of the epochs before, when a training is resumed.
    """

    def __init__(self, patience: int = 3, history: Sequence[Mapping[str, Any]] = ()):
        super().__init__()
        self.patience = patience
        # A log that was begun by an earlier version may lack the number.
        self.restores = int(history[-1].get("restores") or 0) if history else 0
        self._losses = [float(logs["loss"]) for logs in history]
        self._lowered = float("nan")

    def on_train_begin(self, logs=None):
        """Create the optimiser's variables, so that the first epoch remembers them too."""
        self._least = min((loss for loss in self._losses if _counts(loss)), default=float("inf"))
        self.model.optimizer.build(self.model.trainable_variables)

    def on_epoch_begin(self, epoch, logs=None):
        """Remember the weights; lower a learning rate that was set anew."""
        self._epoch = epoch
        self._snapshot = [np.array(variable) for variable in self._variables()]
        if float(self.model.optimizer.learning_rate) != self._lowered:
            self._lower_learning_rate(0.5**self.restores)

    def on_train_batch_end(self, batch, logs=None):
        """Look at the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if np.isfinite(loss):
            return
        found = f"The loss became {loss} in epoch {self._epoch + 1}, batch {batch + 1}"
        if hasattr(self.model, "farthest"):
            window = int(self.model.farthest)
            found += f" (its window {window}, counted from 0, went farthest astray)"
        self._restore(found)

    def on_epoch_end(self, epoch, logs=None):
        """Look at the weights (the last batch's loss was that of those before), and at the loss."""
        loss = (logs or {}).get("loss", self._least)
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            self._restore(f"Weights became NaN or infinite at the end of epoch {epoch + 1}")
        elif loss > EXPLODED * abs(self._least):
            rise = f"{loss:.2g} in epoch {epoch + 1}, from {self._least:.2g}"
            self._restore(f"The loss became {rise}")
        elif _counts(loss):
            self._least = min(self._least, loss)
        if logs is not None:
            logs["restores"] = self.restores

    def _restore(self, found):
        for variable, value in zip(self._variables(), self._snapshot, strict=True):
            variable.assign(value)
        self.model.reset_metrics()
        self.restores += 1
        if self.restores > self.patience:
            self.model.stop_training = True
            logger.error(
                "%s, after %d restores: training stops with the last good weights. "
                "Lower the learning rate, begin with fewer iterations or raise them more slowly.",
                found,
                self.patience,
            )
            return
        self._lower_learning_rate(0.5)
        logger.warning(
            "%s: the weights of the epoch's beginning are back, the learning rate is %.2g.",
            found,
            self._lowered,
        )

    def _lower_learning_rate(self, factor):
        optimizer = self.model.optimizer
        optimizer.learning_rate = float(optimizer.learning_rate) * factor
        self._lowered = float(optimizer.learning_rate)

    def _variables(self):
        optimizer = self.model.optimizer
        # The step count goes on: the epoch is derived from it when a training resumes.
        kept = (id(optimizer.iterations), id(optimizer.learning_rate))
        return self.model.variables + [v for v in optimizer.variables if id(v) not in kept]


def _counts(loss):
    # Of an epoch that was restored in its last batch nothing is left, which reads as 0.
    return loss and np.isfinite(loss)
