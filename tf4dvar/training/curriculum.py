"""The schedule of a training: iterations, learning rate, and when to stop."""

import math
import time

import keras


class Curriculum(keras.callbacks.Callback):
    """Raises the solver's iterations and lowers the learning rate as training goes on.

    Both follow from the progress alone, the larger share of epochs or of minutes that is used
    up, so that a resumed training continues where it was. The learning rate falls along a
    cosine. K is a weight that the graph reads: raising it traces nothing anew and leaves the
    optimiser's state as it is.

    Args:
        learning_rate: at the start.
        stages: (progress, iterations) pairs; K is that of the last stage reached. The paper
            raises K step by step, 5 -> 10 -> 20.
        epochs: number of epochs in all.
        minutes: time budget; training stops at the end of the epoch that would pass it.
        elapsed: seconds used before this fit, by identification and by what is resumed.
        identification: seconds of the budget that went before the first epoch; the schedule is
            that of the rest.
        warm_up: share of the training in which the learning rate first rises.
    """

    def __init__(
        self,
        learning_rate: float,
        stages: tuple[tuple[float, int], ...],
        epochs: int,
        minutes: float | None = None,
        elapsed: float = 0.0,
        warm_up: float = 0.0,
        identification: float = 0.0,
    ):
        super().__init__()
        self.learning_rate = learning_rate
        self.stages = stages
        self.epochs = epochs
        self.minutes = minutes
        self.elapsed = elapsed
        self.warm_up = warm_up
        self.identification = identification

    def on_train_begin(self, logs=None):
        """Start the clock."""
        self._started = time.monotonic() - self.elapsed

    def on_epoch_begin(self, epoch, logs=None):
        """Set the iterations and the learning rate of the epoch."""
        self._epoch_started = time.monotonic()
        progress = min(self._progress(epoch), 1.0)
        iterations = next(k for start, k in reversed(self.stages) if progress >= start)
        if self.model.iterations != iterations:
            self.model.iterations = iterations
        decay = 0.5 * (1.0 + math.cos(math.pi * progress))
        rise = min(progress / self.warm_up, 1.0) if self.warm_up else 1.0
        # An epoch at the very beginning or end still learns a little.
        self.model.optimizer.learning_rate = self.learning_rate * max(rise * decay, 0.01)

    def on_epoch_end(self, epoch, logs=None):
        """Log what was set, and stop when another epoch would not fit the budget."""
        now = time.monotonic()
        self.elapsed = now - self._started
        if logs is not None:
            logs["iterations"] = self.model.iterations
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
            logs["elapsed"] = self.elapsed
        epoch_seconds = now - self._epoch_started
        if self.minutes is not None and self.elapsed + epoch_seconds > 60 * self.minutes:
            self.model.stop_training = True

    def _progress(self, epoch):
        share = epoch / self.epochs
        if self.minutes is None:
            return share
        used = time.monotonic() - self._started - self.identification
        budget = 60 * self.minutes - self.identification
        # Identification may have used up all of it.
        return max(share, used / budget) if budget > 0 else 1.0
