"""Where the windows of a training come from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.data import Signature, protocol_plan, simulate_dataset
from tf4dvar.data.pipeline import batches_of, fixed_windows, simulated_windows, weighted
from tf4dvar.experiments import Experiment
from tf4dvar.models import FourDVarNet, RScore
from tf4dvar.systems import random_stream, system_by_name

# At most as many, and at most a twentieth of the training windows: they cost time every epoch.
VALIDATION_WINDOWS = 500
VALIDATION_SHARE = 0.05
# Added to the seed: the validation windows are another data set than the training windows.
VALIDATION_SEED = 1_000_003


class TrainingWindows(ABC):
    """The windows of a training and of its validation, in physical units.

    Attributes:
        number: of windows in a pass over them.
        observations: [window, time, *space, component], to which the model is adapted.
        truth: true states of them, NaN where they are not known.
        validation: of windows that are not trained on what `fit` takes: inputs, target and, where
            entries count differently, weights.
        metrics: beside the loss, of the epochs.
    """

    number: int
    observations: np.ndarray
    truth: np.ndarray
    validation: tuple[Any, ...]
    metrics: Sequence[keras.metrics.Metric] = ()

    @abstractmethod
    def adapt(self, model: FourDVarNet) -> None:
        """Adapt a new model to the windows.

        Args:
            model: not yet adapted.
        """

    def callbacks(self, model: FourDVarNet, first_pass: int) -> list[keras.callbacks.Callback]:
        """Of the training, before its first step: what draws passes by the model; none by default.

        Args:
            model: that is trained.
            first_pass: number of the pass to begin with.
        """
        return []

    @abstractmethod
    def batches(self, batch_size: int, first_pass: int, share: slice) -> tf.data.Dataset:
        """Endless batches of what `fit` takes; what a pass holds follows from its number alone.

        Args:
            batch_size: windows a batch.
            first_pass: number of the pass to begin with.
            share: of every batch, this worker's.
        """


class DrawnWindows(TrainingWindows):
    """Windows that are drawn anew in every pass.

    Attributes:
        seed: of what is drawn.
    """

    seed: int

    @abstractmethod
    def drawn(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """The windows of a pass, as `fit` takes them.

        Args:
            rng: draws them.
        """

    def batches(self, batch_size, first_pass, share):
        """See `TrainingWindows`."""

        def windows_of_pass(number):
            return self.drawn(random_stream("training windows", self.seed, number))

        shapes = tf.nest.map_structure(lambda each: each.shape[1:], self.validation)
        return batches_of(windows_of_pass, self.number, batch_size, first_pass, share, shapes)


class SimulatedWindows(TrainingWindows):
    """The windows of an experiment.

    Args:
        experiment: with a system.
        options: what its training was asked.
    """

    def __init__(self, experiment: Experiment, options: dict[str, Any]):
        self.number, self._seed = options["windows"], options["seed"]
        self._fresh, self._steps = experiment.fresh, experiment.steps
        self._system = system_by_name(experiment.system)
        self._plan = protocol_plan(experiment.system, experiment.protocol)
        validation = min(VALIDATION_WINDOWS, max(1, int(VALIDATION_SHARE * self.number)))
        data = self._simulated(self.number, self._seed)
        self.signature = Signature.of(data["observations"], self._plan.largest_noise)
        self.observations, self.truth = data["observations"].values, data["truth"].values
        self._inputs = _inputs(data)
        self.metrics = [RScore()]
        held_out = self._simulated(validation, self._seed + VALIDATION_SEED)
        inputs = _inputs(held_out)
        self.validation = weighted(inputs, held_out["truth"].values, self._plan.weights(inputs))

    def _simulated(self, number, seed):
        return simulate_dataset(self._system, self._plan, number, self._steps, seed=seed)

    def adapt(self, model):
        """See `TrainingWindows`."""
        model.adapt(self.observations)
        model.signature = self.signature

    def batches(self, batch_size, first_pass, share):
        """See `TrainingWindows`."""
        order = (batch_size, self._seed, first_pass, share)
        if not self._fresh:
            weights = self._plan.weights(self._inputs)
            return fixed_windows(self._inputs, self.truth, *order, weights)
        steps = self.truth.shape[1]
        return simulated_windows(self._system, self._plan, self.number, steps, *order)


def _inputs(data):
    """What a model is given of simulated windows."""
    values = data["observations"].values
    if "noise_variance" not in data:
        return values
    return {"observations": values, "noise_variance": data["noise_variance"].values}
