"""Windows of single times, from cycles that the model goes through as it learns."""

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

# Cycles before the first pass of a training that is resumed.
BEFORE = 32
# Deviation of the first forecast's errors, in that of the observations'.
START = 0.3
# Windows of many times on which a training is validated, and to which the model is adapted.
VALIDATION_WINDOWS = 48


class CycledWindows(TrainingWindows):
    """What a learned filter is given in cycles: its own forecasts, and observations of the truth.

    Many series go on from pass to pass by one cycle: an analysis by the model as it is when a pass
    begins, and a forecast by the system. Over more cycles the faults of one model would add up, and
    the next one learn to mend these alone. Gradients are of one analysis. Squares count by those of
    the forecasts' errors, their mean in an observing system, so that none has more to say. In a
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
        # As many of each observing system.
        self._series = max(1, options["windows"] // len(self._plans))
        self.number = self._series * len(self._plans)
        self._drawn: tuple[int, Any] = -1, None
        # Of each observing system the true states and the forecasts of now.
        self._now: list[tuple[np.ndarray, np.ndarray]] = []

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
        """What draws a pass by the model as it is when the pass begins."""
        rng = random_stream("series", self.seed, first_pass)
        self._now = [self._begun(plan, rng) for plan in self._plans]
        for _ in range(BEFORE if first_pass else 0):
            for number in range(len(self._plans)):
                self._cycled(model, number, rng)
        self._draw(model, first_pass)

        def draw(epoch, logs):
            if not model.stop_training:
                self._draw(model, epoch + 1)

        return [keras.callbacks.LambdaCallback(on_epoch_end=draw)]

    def batches(self, batch_size, first_pass, share):
        """See `TrainingWindows`."""
        place = 1, len(self._system.components)
        names = "observations", "noise_variance", "background"
        shapes = dict.fromkeys(names, place), place, ()
        # None ahead: what a pass holds is known when the one before has been learned from.
        return batches_of(self._pass, self.number, batch_size, first_pass, share, shapes, ahead=0)

    def _pass(self, number):
        drawn, windows = self._drawn
        assert drawn == number, f"Pass {number} was asked for when {drawn} had been drawn."
        return windows

    def _draw(self, model, number):
        rng = random_stream("cycles", self.seed, number)
        parts = [self._cycled(model, of, rng) for of in range(len(self._plans))]
        order = rng.permutation(self.number)
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

    def _cycled(self, model: FourDVarNet, number, rng):
        """The next cycle of an observing system: inputs, truth, weights, [series, ...]."""
        system, plan = self._system, self._plans[number]
        truth, forecast = self._now[number]
        now = truth[:, np.newaxis]
        inputs = {
            "observations": plan.observe(now, rng),
            "noise_variance": np.full_like(now, plan.noise_variance),
            "background": forecast[:, np.newaxis],
        }
        given = {name: of.astype("float32") for name, of in inputs.items()}
        analysis = model.predict_on_batch(given)[:, 0].astype("float64")
        # What is as far from the truth as another state begins anew.
        far = np.square(analysis - truth).mean(axis=1) > 2 * self.truth.var()
        astray = far | ~np.isfinite(analysis).all(axis=1)
        forecast = np.where(astray[:, np.newaxis], self._near(truth, plan, rng), analysis)
        for _ in range(plan.every):
            truth, forecast = system.step(truth), system.step(forecast)
        self._now[number] = truth, forecast
        errors = (inputs["background"] - now) / self.truth.std(axis=(0, 1))
        return inputs, now, np.full(len(now), 1 / np.square(errors).mean())
