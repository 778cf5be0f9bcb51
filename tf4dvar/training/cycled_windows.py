"""Windows of single times, from cycles that the model goes through as it learns."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.data import Signature, protocol_plan, simulate_dataset
from tf4dvar.data.pipeline import batches_of
from tf4dvar.experiments import Experiment
from tf4dvar.models import FourDVarNet, RScore
from tf4dvar.systems import random_stream, sample_windows, system_by_name
from tf4dvar.systems.drawn_plan import MixedPlan
from tf4dvar.training.windows import VALIDATION_SEED, TrainingWindows

# Of series, each of a batch, which take turns. With eight, errors rose again and again: a step
# learned of what the model had been a moment before.
GROUPS = 64
# Cycles before the first one of a training that is resumed.
BEFORE = 32
# Deviation of the first forecast's errors, in that of the observations'.
START = 0.3
# Squared distance from the truth, in variances of the climate; of two of its states 2.
FAR = 10
# Windows of many times on which a training is validated, and to which the model is adapted.
VALIDATION_WINDOWS = 48


class CycledWindows(TrainingWindows):
    """What a learned filter is given in cycles: its own forecasts, and observations of the truth.

    Groups of series take turns: those of one go on by a cycle, an analysis by the model as it is
    then and a forecast by its flow, and what it analysed is a batch. If all of them went on at
    once, the next steps would together learn to mend the faults of one model, and the next model
    would have others. Gradients are of one analysis. Squares count in units of the noise's. In a
    training that is resumed series begin anew.

    Args:
        experiment: with a system, and a protocol that is a `MixedPlan`.
        options: what its training was asked.
    """

    def __init__(self, experiment: Experiment, options: dict[str, Any]):
        plan = protocol_plan(experiment.system, experiment.protocol)
        assert isinstance(plan, MixedPlan)
        self._system, self._plans = system_by_name(experiment.system), plan.plans
        self.seed = options["seed"]
        self.number = options["windows"]
        self._batch_size = min(experiment.batch_size, self.number)
        # As many of each observing system.
        self._series = math.ceil(self._batch_size / len(self._plans))
        self._drawn: tuple[int, Any] = -1, None
        # Of each group and observing system the true states and the forecasts of now.
        self._now: list[list[tuple[np.ndarray, np.ndarray]]] = []

        def simulated(seed):
            return simulate_dataset(
                self._system, plan, VALIDATION_WINDOWS, experiment.steps, seed=seed
            )

        data, held_out = simulated(self.seed), simulated(self.seed + VALIDATION_SEED)
        self.observations, self.truth = data["observations"].values, data["truth"].values
        self.signature = Signature.of(data["observations"], plan.largest_noise)
        self.metrics = [RScore()]
        truth = held_out["truth"].values
        background = np.full_like(truth, np.nan)
        rng = random_stream("validation background", self.seed)
        background[:, 0] = truth[:, 0] + rng.normal(size=truth[:, 0].shape)
        inputs = {name: held_out[name].values for name in ("observations", "noise_variance")}
        self.validation = {**inputs, "background": background}, truth

    def adapt(self, model):
        """See `TrainingWindows`."""
        model.adapt(self.observations, self.truth)
        model.signature = self.signature

    def callbacks(self, model, first_pass):
        """What draws a batch by the model as it is then."""
        rng = random_stream("series", self.seed, first_pass)
        self._now = [[self._begun(plan, rng) for plan in self._plans] for _ in range(GROUPS)]
        for _ in range(BEFORE if first_pass else 0):
            for group in self._now:
                self._cycled(model, group, rng)
        self._draw(model, first_pass * (self.number // self._batch_size))

        def draw_next(batch, logs):
            self._draw(model, self._drawn[0] + 1)

        return [keras.callbacks.LambdaCallback(on_train_batch_end=draw_next)]

    def batches(self, batch_size, first_pass, share):
        """See `TrainingWindows`."""
        assert batch_size == self._batch_size
        place = 1, len(self._system.components)
        names = "observations", "noise_variance", "background"
        shapes = dict.fromkeys(names, place), place, ()
        first = first_pass * (self.number // batch_size)
        # None ahead: what a batch holds is known when the one before has been learned from.
        return batches_of(self._batch, batch_size, batch_size, first, share, shapes, ahead=0)

    def _batch(self, number):
        drawn, windows = self._drawn
        assert drawn == number, f"Batch {number} was asked for when {drawn} had been drawn."
        return windows

    def _draw(self, model, number):
        rng = random_stream("cycles", self.seed, number)
        parts = self._cycled(model, self._now[number % GROUPS], rng)
        order = rng.permutation(self._series * len(self._plans))[: self._batch_size]
        self._drawn = (
            number,
            tf.nest.map_structure(lambda *of: np.concatenate(of)[order], *parts),
        )

    def _begun(self, plan, rng):
        """True states, and forecasts near them, [series, component]."""
        truth = sample_windows(self._system, self._series, 2, rng)[:, -1]
        return truth, self._near(truth, plan, rng)

    def _near(self, truth, plan, rng):
        return truth + START * np.sqrt(plan.noise_variance) * rng.normal(size=truth.shape)

    def _cycled(self, model: FourDVarNet, group, rng):
        """The next cycle of a group; of each observing system inputs, truth, weights."""
        parts, flow = [], model.flow
        assert flow is not None
        for number, plan in enumerate(self._plans):
            truth, forecast = group[number]
            now = truth[:, np.newaxis]
            inputs = {
                "observations": plan.observe(now, rng),
                "noise_variance": np.full_like(now, plan.noise_variance),
                "background": forecast[:, np.newaxis],
            }
            weight = 1 / (plan.noise_variance / self.truth.var(axis=(0, 1))).mean()
            parts.append((inputs, now, np.full(len(now), weight)))
            given = {name: of.astype("float32") for name, of in inputs.items()}
            analysis = model.predict_on_batch(given)[:, 0]
            # What leaves the climate begins anew; what is lost in it has to be found again.
            far = np.square(analysis - truth).mean(axis=1) > FAR * self.truth.var()
            astray = far | ~np.isfinite(analysis).all(axis=1)
            begun = np.where(astray[:, np.newaxis], self._near(truth, plan, rng), analysis)
            for _ in range(plan.every):
                truth = self._system.step(truth)
            ahead = flow.ahead(begun.astype("float32"), tf.constant(plan.every))
            group[number] = truth, ahead[:, -1].numpy()
        return parts
