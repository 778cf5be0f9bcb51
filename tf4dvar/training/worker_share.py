"""What one of several workers does of a training."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from tf4dvar.training.loop import average


@dataclass(frozen=True)
class WorkerShare:
    """One worker's share of the work; by default that of a worker alone, the whole.

    Attributes:
        worker: its number; worker 0 keeps the run directory.
        workers: number of workers.
        strategy: that they average their gradients with; None for a worker alone.
        callbacks: the last ones of every epoch.
    """

    worker: int = 0
    workers: int = 1
    strategy: tf.distribute.Strategy | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()

    @property
    def keeps_the_run(self) -> bool:
        """Whether this worker writes the run directory."""
        return self.worker == 0

    @property
    def share(self) -> slice:
        """Of the windows of a batch."""
        return slice(self.worker, None, self.workers)

    def wait_for_all(self) -> None:
        """Return when every worker has called this."""
        if self.strategy is not None:
            average(self.strategy, tf.constant(0.0))


ALONE = WorkerShare()
